//! A handful of faults of a Vault server before the whole agent: the code on the wire is a final one, the text says what
//! happened, nobody else is disturbed, and the process goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use latchkey::clock::Clock;
use latchkey::driver::{Client, Flavour, Limit, Pod, Refusal, request};
use serde_json::json;

use super::canary::{sinks, start};
use crate::support::agent::{Agent, files, shipped};
use crate::support::canary::{Canary, assert_silent};
use crate::support::issuer::{claims, holding, unsigned};
use crate::testkit::{Identity, Manner, Reply, Request, Testkit, closed_port};

const INTERNAL: i32 = 13;
const UNAUTHENTICATED: i32 = 16;
const DENIED: i32 = 7;
const NOT_FOUND: i32 = 5;
const PRECONDITION: i32 = 9;

/// A pod of account `web/ACCOUNT`.
fn pod_of(account: &str) -> Pod {
    let mut claims = claims(account);
    claims["aud"] = json!("vault");
    holding(account, "vault", &unsigned(&claims))
}

async fn mount(
    agent: &Agent,
    pod: &Pod,
    parameters: &[(&str, &str)],
) -> (Result<BTreeMap<String, Vec<u8>>, Refusal>, Duration) {
    let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut client = Client::new(agent.path("sockets/vault.sock"), Clock::system()).limit(Limit::None);
    let request = request("class", &parameters, pod, &Flavour::Driver16);
    let began = Instant::now();
    let mounted = client.mount(request, Some(Duration::from_secs(4))).await;
    let mounted = mounted.map(|mounted| {
        files(&mounted).into_iter().map(|(path, (_, bytes))| (path.to_owned(), bytes.to_vec())).collect()
    });
    (mounted, began.elapsed())
}

/// A code, and words of the text.
type Verdict = (i32, &'static str);
/// What it is called, what is answered, and what comes of that at the login and at the read.
type Fault = (&'static str, Reply, Verdict, Verdict);
/// What it is called, the class's parameters, and what comes of them.
type Case = (String, Vec<(&'static str, String)>, Verdict);

fn faults(value: &str) -> Vec<Fault> {
    let html = Reply::new(200, format!("<html>{value}</html>")).header("content-type", "text/html");
    let whole = Reply::json(200, &json!({ "data": { "k": value } }));
    let wrapped = Reply::json(200, &json!({ "wrap_info": { "token": format!("hvs.{value}") } }));
    let no = |status| Reply::json(status, &json!({ "errors": ["no"] }));
    let foreign = (INTERNAL, "unexpected reply, is a proxy in the way?");
    let off = (INTERNAL, "broke its answer off");
    vec![
        (
            "204",
            Reply::empty(),
            (INTERNAL, "the reply (204) is empty"),
            (INTERNAL, "the reply (204) is empty"),
        ),
        (
            "auth: null",
            Reply::json(200, &json!({ "auth": null })),
            (INTERNAL, "had no token"),
            (INTERNAL, "no data"),
        ),
        ("HTML", html, foreign, foreign),
        ("wrapped", wrapped, (UNAUTHENTICATED, "wrapped"), (PRECONDITION, "wrapped")),
        ("truncated", whole.clone().manner(Manner::Truncated(9)), off, off),
        ("reset", whole.clone().manner(Manner::Reset(9)), off, off),
        (
            "endless",
            Reply::new(200, value.repeat(1_000)).manner(Manner::Endless),
            (PRECONDITION, "larger than"),
            (PRECONDITION, "larger than"),
        ),
        ("hangs", whole.manner(Manner::Hang), (INTERNAL, "did not answer"), (INTERNAL, "did not answer")),
        (
            "301",
            Reply::redirect(301, "/v1/x"),
            (INTERNAL, "redirect refused"),
            (INTERNAL, "redirect refused"),
        ),
        ("403", no(403), (UNAUTHENTICATED, "(403): no"), (DENIED, "(403): no")),
        ("404", no(404), (UNAUTHENTICATED, "(404): no"), (NOT_FOUND, "(404): no")),
        ("500", no(500), (INTERNAL, "(500): no"), (INTERNAL, "(500): no")),
        ("429", no(429).header("retry-after", "1"), (INTERNAL, "throttled"), (INTERNAL, "throttled")),
    ]
}

/// Fault number N at auth mount `fault-N` and at path `fault/N`, and else a server that is well.
fn serve(kit: &Testkit, faults: Vec<Fault>, value: String) {
    kit.route("*", move |request: Request| {
        let path = request.path.strip_prefix("/v1/").unwrap_or_default().to_owned();
        let number = |text: &str| text.parse::<usize>().ok();
        let faulty = path.strip_prefix("auth/fault-").and_then(|rest| number(rest.strip_suffix("/login")?));
        let faulty = faulty.or_else(|| path.strip_prefix("fault/").and_then(number));
        let auth = json!({ "client_token": "hvs.good", "entity_id": "e", "lease_duration": 3600 });
        match faulty {
            Some(index) => faults[index].1.clone(),
            None if path.ends_with("/login") => Reply::json(200, &json!({ "auth": auth })),
            None => Reply::json(200, &json!({ "data": { "k": value } })),
        }
    });
}

#[tokio::test]
async fn every_fault_ends_in_a_final_code_and_the_agent_goes_on() {
    let value = Canary::new("a body");
    let (mut agent, kit, untrusted) =
        (Agent::prepare(shipped()), Testkit::start(), Testkit::start_as(Identity::Untrusted));
    let faults = faults(&value.core);
    serve(&kit, faults.clone(), value.core.clone());
    // Servers of their own: one that asks for patience asks all of its callers.
    let (refused, site) = (format!("http://{}", closed_port()), untrusted.address().to_string());
    let other = kit.at("localhost").to_string();
    let text = format!(
        "stores:\n  vault: {{ address: \"{}\", ca: {ca} }}\n  other: {{ kind: vault, address: \"{other}\", ca: {ca} }}\n  \
         refused: {{ kind: vault, address: \"{refused}\" }}\n  untrusted: {{ kind: vault, address: \"{site}\", ca: {ca} }}\n\
         audit:\n  sink: {}\n  polls: all\n",
        kit.address(),
        agent.path("audit.jsonl").display(),
        ca = kit.ca().display(),
    );
    std::fs::write(agent.path("latchkey.yaml"), text).unwrap();
    agent.providers = "vault";
    let mut command = agent.command();
    start(&mut agent, &mut command);

    let (bad, good) = (pod_of("bad"), pod_of("good"));
    let object = |path: &str| format!("- {{ objectName: o, secretPath: {path}, secretKey: k }}");
    let mut cases: Vec<Case> = Vec::new();
    for (index, (what, _, login, read)) in faults.iter().enumerate() {
        let auth = ("vaultAuthMountPath", format!("fault-{index}"));
        cases.push((format!("{what} at the login"), vec![auth, ("objects", object("kv/a"))], *login));
        cases.push((
            format!("{what} at the read"),
            vec![("objects", object(&format!("fault/{index}")))],
            *read,
        ));
    }
    for (address, words) in [(&refused, "the connection is refused"), (&site, "is not trusted")] {
        let at = ("vaultAddress", address.clone());
        cases.push((words.to_owned(), vec![at, ("objects", object("kv/a"))], (INTERNAL, words)));
    }
    let mut texts = Vec::new();
    for (what, parameters, (code, words)) in &cases {
        let mut parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(key, value)| (*key, &**value)).collect();
        parameters.push(("roleName", "web"));
        let calm = object(&format!("kv/{}", texts.len()));
        let calm = [("roleName", "web"), ("vaultAddress", &*other), ("objects", &*calm)];
        let ((answer, took), (beside, waited)) =
            tokio::join!(mount(&agent, &bad, &parameters), mount(&agent, &good, &calm));
        let beside = beside.unwrap_or_else(|refusal| panic!("beside {what}: {}", refusal.text));
        assert!(value.found(&beside["o"]).is_some() && waited < Duration::from_secs(2), "{what}: {waited:?}");
        let refusal = answer.expect_err(what);
        assert_eq!((refusal.code, refusal.wire), (*code, Some(*code)), "{what}: {}", refusal.text);
        assert!(refusal.text.contains(words), "{what}: {}", refusal.text);
        assert!(took < Duration::from_secs(4), "{what}: {took:?}");
        texts.push(refusal.text);
    }
    assert!(
        agent.figure("latchkey_panics_total") < 0.5 && agent.figure("latchkey_code_replaced_total") < 0.5
    );
    // Our side of the last connections is closed, or the agent would wait for that before it ends.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_silent(&[value], &sinks(&mut agent, &texts));
}
