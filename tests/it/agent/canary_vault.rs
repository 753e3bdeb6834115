//! The same before Vault: what the server gives, what it is shown, and what it says when it fails are canaries.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::driver::{Client, Flavour, Limit, Pod, Refusal, request};
use serde_json::{Value, json};

use super::canary::{signed_with, sinks, start};
use crate::support::agent::{Agent, files, shipped};
use crate::support::canary::{Canary, assert_silent};
use crate::support::issuer::holding;
use crate::testkit::{Manner, Reply, Request, Testkit};

/// A server whose every secret is a canary.
#[derive(Clone)]
struct Secrets {
    jwt: Canary,
    token: Canary,
    accessor: Canary,
    value: Canary,
    lease: Canary,
    args: Canary,
    echoed: Canary,
}

impl Secrets {
    fn new() -> Self {
        let [jwt, token, accessor, value, lease, args, echoed] = [
            "the pod's token",
            "the session's token",
            "the session's accessor",
            "a value",
            "a lease id",
            "an argument",
            "a token in an error",
        ]
        .map(Canary::new);
        Self { jwt, token, accessor, value, lease, args, echoed }
    }

    fn all(&self) -> Vec<Canary> {
        let Self { jwt, token, accessor, value, lease, args, echoed } = self.clone();
        vec![jwt, token, accessor, value, lease, args, echoed]
    }

    fn envelope(&self, lease: &str, data: &Value) -> Reply {
        let lease = if lease.is_empty() { String::new() } else { format!("{lease}/{}", self.lease.core) };
        let seconds = if lease.is_empty() { 0 } else { 3600 };
        let envelope = json!({
            "request_id": "r", "lease_id": lease, "lease_duration": seconds, "renewable": !lease.is_empty(), "data": data,
        });
        Reply::json(200, &envelope)
    }

    fn answer(&self, request: &Request) -> Reply {
        let value = self.value.value();
        let echo = format!("a token hvs.{} was shown", self.echoed.core);
        match request.path.strip_prefix("/v1/").unwrap_or_default() {
            "auth/kubernetes/login" => Reply::json(
                200,
                &json!({ "auth": {
                    "client_token": format!("hvs.{}", self.token.core), "accessor": self.accessor.core,
                    "policies": ["web"], "metadata": { "role": "web" }, "entity_id": "e1",
                    "lease_duration": 3600, "renewable": true, "token_type": "service", "num_uses": 0,
                } }),
            ),
            "auth/refusing/login" => Reply::json(403, &json!({ "errors": [echo] })),
            "secret/data/app" => {
                self.envelope("", &json!({ "data": { "password": value }, "metadata": { "version": 3 } }))
            }
            "database/creds/web" => self.envelope("database/creds/web", &json!({ "password": value })),
            "pki/issue/web" => self.envelope("", &json!({ "private_key": value })),
            "wrong/type" => Reply::json(200, &json!({ "lease_id": [value], "data": { "a": value } })),
            "wrong/html" => Reply::text(200, &format!("<html>{value}</html>")),
            "wrong/cut" => self.envelope("", &json!({ "a": value })).manner(Manner::Truncated(60)),
            "wrong/none" => Reply::json(200, &json!({ "data": null, "warnings": [echo] })),
            "wrong/wrapped" => {
                Reply::json(200, &json!({ "wrap_info": { "token": format!("hvs.{}", self.token.core) } }))
            }
            "wrong/redirect" => {
                Reply::redirect(307, &format!("https://localhost/v1/x?token={}", self.echoed.core))
            }
            path => match path.strip_prefix("status/").and_then(|code| code.parse().ok()) {
                Some(code) => {
                    Reply::json(code, &json!({ "errors": [echo, format!("line\n{echo}")], "data": value }))
                }
                None => Reply::json(404, &json!({ "errors": [] })),
            },
        }
    }
}

struct Node {
    agent: Agent,
    kit: Testkit,
    pod: Pod,
}

impl Node {
    fn start(secrets: &Secrets) -> Self {
        let (mut agent, kit) = (Agent::prepare(shipped()), Testkit::start());
        let answering = secrets.clone();
        kit.route("*", move |request| answering.answer(&request));
        let text = format!(
            "stores:\n  vault: {{ address: \"{}\", ca: {}, role: web, audience: vault }}\n\
             audit:\n  sink: {}\n  polls: all\n",
            kit.address(),
            kit.ca().display(),
            agent.path("audit.jsonl").display(),
        );
        std::fs::write(agent.path("latchkey.yaml"), text).unwrap();
        agent.providers = "latchkey,vault";
        let mut command = agent.command();
        start(&mut agent, &mut command);
        Self { agent, kit, pod: holding("app", "vault", &signed_with(&secrets.jwt)) }
    }

    async fn mount(&self, parameters: &[(&str, &str)]) -> Result<BTreeMap<String, Vec<u8>>, Refusal> {
        let parameters =
            parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut client =
            Client::new(self.agent.path("sockets/vault.sock"), Clock::system()).limit(Limit::None);
        let request = request("class", &parameters, &self.pod, &Flavour::Driver16);
        let mounted = client.mount(request, Some(Duration::from_secs(30))).await?;
        Ok(files(&mounted).into_iter().map(|(path, (_, bytes))| (path.to_owned(), bytes.to_vec())).collect())
    }
}

// Of several threads: the client's connection goes on while the test waits for the agent's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_vault_gets_out() {
    let secrets = Secrets::new();
    let mut node = Node::start(&secrets);
    let object = |path: &str, more: &str| format!("- objectName: o\n  secretPath: {path}\n{more}");
    let args = format!(
        "  method: PUT\n  secretKey: private_key\n  secretArgs: {{ password: \"{}\" }}\n",
        secrets.args.core
    );

    for _ in 0..2 {
        for (path, more) in [
            ("secret/data/app", "  secretKey: password\n"),
            ("secret/data/app", ""),
            ("database/creds/web", "  secretKey: password\n"),
            ("database/creds/web", ""),
            ("pki/issue/web", &args),
        ] {
            let objects = object(path, more);
            let files = node.mount(&[("roleName", "web"), ("objects", &objects)]).await;
            let files = files.unwrap_or_else(|refusal| panic!("{path}: {}", refusal.text));
            assert!(secrets.value.found(&files["o"]).is_some(), "{path} gave something else");
        }
    }
    let sent = node.kit.take_log();
    assert!(sent.iter().any(|request| secrets.jwt.found(&request.body).is_some()), "the token was shown");
    assert!(sent.iter().any(|request| secrets.args.found(&request.body).is_some()), "the argument was sent");

    let mut texts = Vec::new();
    let wrong = ["type", "html", "cut", "none", "wrapped", "redirect"].map(|what| format!("wrong/{what}"));
    let statuses = [400, 403, 404, 405, 412, 429, 472, 500, 502, 503].map(|code| format!("status/{code}"));
    for path in wrong.iter().chain(&statuses) {
        let (plain, args) = (object(path, ""), object(path, &args));
        for objects in [plain, args] {
            let answer = node.mount(&[("roleName", "web"), ("objects", &objects)]).await;
            texts.push(answer.expect_err(path).text);
        }
    }
    for objects in [
        object("secret/data/app", "  secretKey: none\n"),
        object("secret/data/app", "  secretKey: password\n  encoding: base64\n"),
        object("secret/data/app", &format!("  secretArgs: [{}]\n", secrets.args.core)),
    ] {
        texts
            .push(node.mount(&[("roleName", "web"), ("objects", &objects)]).await.expect_err("refused").text);
    }
    let objects = object("secret/data/app", "");
    let refusing = [("roleName", "web"), ("vaultAuthMountPath", "refusing"), ("objects", &objects)];
    texts.push(node.mount(&refusing).await.expect_err("refused").text);
    assert!(
        texts.iter().filter(|text| text.contains("was shown")).count() >= 10,
        "the server's words pass: {texts:#?}"
    );
    assert_silent(&secrets.all(), &sinks(&mut node.agent, &texts));
}
