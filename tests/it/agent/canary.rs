//! Secrets stay in: every value, token and credential of these mounts is a canary, the agent logs at its most verbose
//! level and audits every poll, and nothing that it lets out holds one. For each way out, one leak planted there is
//! found, so that a search that looks into the wrong place does not pass.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use latchkey::proto::MountRequest;
use serde_json::{Map, Value, json};

use crate::support::agent::{Agent, ask, faulty, files, shipped};
use crate::support::canary::{Canary, assert_silent};
use crate::support::contract::{KUBELET, of, send};
use crate::support::faulty::CANARY as PANIC;
use crate::support::issuer::{claims, holding, unsigned};

/// What an agent lets out, besides the answers that are meant for the pod.
pub(super) fn sinks(agent: &mut Agent, texts: &[String]) -> Vec<(&'static str, Vec<u8>)> {
    let of_process = |name: &str| fs::read(format!("/proc/{}/{name}", agent.pid().as_raw_nonzero())).unwrap();
    let (arguments, environment) = (of_process("cmdline"), of_process("environ"));
    let metrics = agent.get("/metrics").unwrap().1.into_bytes();
    // At its end it writes what it still has.
    agent.signal(rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    vec![
        ("the log", fs::read(agent.path("log.jsonl")).unwrap()),
        ("the audit trail", fs::read(agent.path("audit.jsonl")).unwrap()),
        ("the metrics", metrics),
        ("an error's text", texts.join("\n").into_bytes()),
        ("the command line", arguments),
        ("the environment", environment),
    ]
}

/// Starts the agent by this command, and waits until it is ready.
pub(super) fn start(agent: &mut Agent, command: &mut Command) {
    let log = fs::File::create(agent.path("log.jsonl")).unwrap();
    agent.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    agent.wait_until("the agent is ready", |agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200));
}

/// Asks for what cannot be delivered, and keeps the text.
pub(super) async fn refuse(agent: &Agent, request: &MountRequest, texts: &mut Vec<String>) {
    match send(agent, request, KUBELET).await {
        Err(refusal) => texts.push(refusal.text),
        Ok(mounted) => {
            panic!("delivered: {:?}", mounted.files.iter().map(|file| &file.0).collect::<Vec<_>>())
        }
    }
}

// Of several threads: the client's connection goes on while the test waits for the agent's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_local_store_gets_out() {
    for format in ["json", "text"] {
        let mut agent = Agent::prepare(faulty());
        let [value, field, token, published] =
            ["a value", "a field", "a token", "a published credential"].map(Canary::new);
        agent.set("web/token", "web/*", &[("", &value.value())]);
        agent.set("web/db", "web/*", &[("username", "web"), ("password", &field.value())]);
        agent.set("web/big", "web/*", &[("", &value.value().repeat(31_000))]);
        agent.configure("  polls: all\n");
        let mut command = agent.command();
        start(&mut agent, command.args(["--log-format", format]));
        let mut pod = holding("app", "vault", &signed_with(&token));
        pod.publish = Some(BTreeMap::from([("clientsecret".to_owned(), published.value())]));

        for _ in 0..2 {
            let asked = "a: { store: local, path: web/token }\nb: { store: local, path: web/db }\n";
            let mounted =
                send(&agent, &of(&pod, asked), KUBELET).await.map_err(|refusal| refusal.text).unwrap();
            let files = files(&mounted);
            assert!(value.found(files["a"].1).is_some() && field.found(files["b/password"].1).is_some());
        }
        let mut texts = vec![];
        let five: String =
            ('a'..='e').map(|name| format!("{name}: {{ store: local, path: web/big }}\n")).collect();
        for asked in [
            &five,
            "a: { store: local, path: web/one }\n",
            "a: { store: local, path: web/none }\n",
            "a: { store: local, path: fault/panic }\n",
            "a: { store: local, path: fault/short }\n",
        ] {
            refuse(&agent, &of(&pod, asked), &mut texts).await;
        }
        let mut fields = of(&pod, "a: { store: local, path: web/db }\n");
        edit(&mut fields, |attributes| drop(attributes.insert("files".to_owned(), json!("x: a.pasword"))));
        refuse(&agent, &fields, &mut texts).await;
        for broken in broken(&of(&pod, ""), &token) {
            refuse(&agent, &broken, &mut texts).await;
        }
        assert!(agent.figure("latchkey_panics_total") > 0.5, "the panic took place");
        let panic = Canary { name: "a panic's message".to_owned(), core: PANIC.to_owned() };
        assert_silent(&[value, field, token, published, panic], &sinks(&mut agent, &texts));
    }
}

/// One leak for each way out, planted with what anybody may put there: the search finds every one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leak_planted_in_any_way_out_is_found() {
    let plant = Canary::new("a plant");
    let mut agent = Agent::prepare(shipped());
    agent.set(&format!("web/{}", plant.core), "web/*", &[("", "harmless")]);
    agent.configure("  polls: all\n");
    let mut command = agent.command();
    start(&mut agent, command.arg0(&plant.core).env("PLANT", &plant.core));

    let asked = format!("a: {{ store: local, path: web/{} }}\n", plant.core);
    let mut pod = crate::support::agent::pod("app");
    pod.volume = plant.core.clone();
    send(&agent, &of(&pod, &asked), KUBELET).await.map_err(|refusal| refusal.text).unwrap();
    let mut texts = vec![];
    refuse(&agent, &ask("app", &[(&plant.core, "x")]), &mut texts).await;
    for (sink, text) in sinks(&mut agent, &texts) {
        assert!(plant.found(&text).is_some(), "the plant in {sink} was not found");
    }
}

/// A token of pod `web/app-1` for audience `vault`, whose signature is the canary.
pub(super) fn signed_with(canary: &Canary) -> String {
    let mut claims = claims("app");
    claims["aud"] = json!("vault");
    let token = unsigned(&claims);
    format!("{}.{}", token.rsplit_once('.').unwrap().0, canary.core)
}

fn edit(request: &mut MountRequest, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut attributes: Map<String, Value> = serde_json::from_slice(&request.attributes).unwrap();
    change(&mut attributes);
    request.attributes = serde_json::to_vec(&attributes).unwrap().into();
}

/// The request with its tokens, its credentials or its attributes broken in ways that parsers like to quote.
fn broken(request: &MountRequest, token: &Canary) -> Vec<MountRequest> {
    let tokens = "csi.storage.k8s.io/serviceAccount.tokens";
    let core = &token.core;
    let spellings = [
        json!(core),
        json!(format!("{{\"vault\":\"{core}\"}}")),
        json!(format!("{{\"vault\":{{\"token\":\"{core}\"}}}}")),
        json!(format!("{{\"vault\":{{\"token\":\"{core}.{core}.{core}\"}}}}")),
        json!(format!("{{\"vault\":{{\"token\":7,\"x\":\"{core}\"}}}}")),
        json!({ "vault": core }),
    ];
    let mut broken: Vec<MountRequest> = spellings
        .into_iter()
        .map(|spelling| {
            let mut request = request.clone();
            edit(&mut request, |attributes| drop(attributes.insert(tokens.to_owned(), spelling)));
            request
        })
        .collect();
    for secrets in [format!("\"{core}\""), format!("{{\"a\":[\"{core}\"]}}"), format!("{{\"a\":\"{core}\"")] {
        broken.push(MountRequest { secrets: secrets.into(), ..request.clone() });
    }
    let mut cut = request.attributes.to_vec();
    cut.truncate(cut.len() - 2);
    broken.push(MountRequest { attributes: cut.into(), ..request.clone() });
    broken.push(MountRequest { permission: core.clone().into(), ..request.clone() });
    broken
}
