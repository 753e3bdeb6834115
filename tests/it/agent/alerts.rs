//! The texts that people alert on: each row of the table in `docs/compat/vault.md` is a failure of the upstream providers,
//! which is brought about here, and what the agent says of it is what the row says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use latchkey::clock::Clock;
use latchkey::driver::{Client, Flavour, Limit, Refusal, request};
use latchkey::proto::MountRequest;
use serde_json::{Value, json};

use crate::layers::source::top;
use crate::support::agent::{Agent, shipped};
use crate::support::contract::KUBELET;
use crate::support::issuer::{claims, holding, unsigned};
use crate::testkit::{Identity, Manner, Reply, Request, Testkit, closed_port};

/// How a failure is brought about.
struct Case {
    /// As the table has it.
    upstream: &'static str,
    /// Parameters besides the usual ones, or in their place; an empty text takes one away.
    parameters: Vec<(&'static str, String)>,
    /// What is wrong with the request itself.
    change: fn(&mut MountRequest),
}

fn case(upstream: &'static str, parameters: &[(&'static str, &str)]) -> Case {
    let parameters = parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Case { upstream, parameters, change: |_| {} }
}

/// One object at a path.
fn reading(upstream: &'static str, path: &str) -> Case {
    case(upstream, &[("objects", &format!("- {{ objectName: o, secretPath: {path}, secretKey: k }}"))])
}

fn of_the_request(upstream: &'static str, change: fn(&mut MountRequest)) -> Case {
    Case { change, ..case(upstream, &[]) }
}

/// An attribute of the request in place of what stands there.
fn attribute(request: &mut MountRequest, name: &str, value: &str) {
    let mut attributes: Value = serde_json::from_slice(&request.attributes).unwrap();
    attributes[name] = json!(value);
    request.attributes = Bytes::from(attributes.to_string());
}

/// What the class or the request gets wrong.
fn of_the_class() -> Vec<Case> {
    let secret = |more: &str| format!("- {{ objectName: o, secretPath: secret/ok, {more} }}");
    vec![
        case(
            "cannot set both vaultKubernetesMountPath and vaultAuthMountPath",
            &[("vaultKubernetesMountPath", "a"), ("vaultAuthMountPath", "b")],
        ),
        case("strconv.ParseBool: parsing", &[("vaultSkipTLSVerify", "yes")]),
        case("yaml: unmarshal errors", &[("objects", "secretPath: secret/ok")]),
        case("yaml: line 2", &[("objects", "- objectName: o\n  secretPath: [")]),
        of_the_request("failed to unmarshal service account tokens", |request| {
            attribute(request, "csi.storage.k8s.io/serviceAccount.tokens", "{");
        }),
        of_the_request("missing target path field", |request| request.target_path = Bytes::new()),
        case("missing 'roleName' in SecretProviderClass definition", &[("roleName", "")]),
        case("no secrets configured", &[("objects", "[]")]),
        case(
            "must be unique, but the following keys were duplicated",
            &[("objects", "- { objectName: o, secretPath: a }\n- { objectName: o, secretPath: b }")],
        ),
        case("Error loading CA File", &[("vaultCACertPath", "/absent/ca.pem")]),
        case(
            "failed to create a service account token for requesting pod",
            &[("audience", "no-such-audience")],
        ),
        reading("failed to parse query parameters from secretPath", "\"secret/ok?a=%zz\""),
        case("invalid encoding type", &[("objects", &secret("secretKey: k, encoding: rot13"))]),
        case(
            "failed to generate version for object name",
            &[("objects", &secret("method: PUT, secretArgs: { a: .inf }"))],
        ),
    ]
}

/// What the server refuses, or answers with.
fn of_the_server() -> Vec<Case> {
    let auth = |upstream, mount| case(upstream, &[("vaultAuthMountPath", mount)]);
    let text = |encoding: &str| {
        format!("- {{ objectName: o, secretPath: secret/ok, secretKey: k, encoding: {encoding} }}")
    };
    vec![
        auth("failed to login: Error making API request", "refusing"),
        auth("service account name not authorized", "refusing"),
        auth("failed to parse login response", "proxied"),
        auth("and failed to reauthenticate", "once"),
        reading("error requesting secret: Error making API request", "secret/denied"),
        reading("Code: 404", "secret/gone"),
        reading("Code: 429", "secret/busy"),
        reading("Vault is sealed", "secret/sealed"),
        reading("received empty response from", "secret/none"),
        reading("empty response from", "secret/null"),
        case(
            "does not exist at the secret path",
            &[("objects", "- { objectName: o, secretPath: secret/ok, secretKey: absent }")],
        ),
        case("illegal base64 data at input byte", &[("objects", &text("base64"))]),
        case("encoding/hex: invalid byte", &[("objects", &text("hex"))]),
        reading("context deadline exceeded", "secret/hung"),
    ]
}

/// What is wrong on the way to the server.
fn of_the_way(closed: &str, untrusted: &str) -> Vec<Case> {
    vec![
        case("connect: connection refused", &[("vaultAddress", closed)]),
        case("x509: certificate signed by unknown authority", &[("vaultAddress", untrusted)]),
        case("no such host", &[("vaultAddress", "https://vault.invalid:8200")]),
    ]
}

fn answer(logins: &AtomicUsize, request: &Request) -> Reply {
    let errors = |status, text: &str| Reply::json(status, &json!({ "errors": [text] }));
    let session = json!({ "auth": { "client_token": "hvs.x", "accessor": "a", "lease_duration": 3600 } });
    match request.path.strip_prefix("/v1/").unwrap_or_default() {
        "auth/refusing/login" => errors(403, "service account name not authorized"),
        "auth/proxied/login" => Reply::text(200, "<html>sign in</html>"),
        // The first session is forgotten by the time that it is used, and there is no other.
        "auth/once/login" if logins.fetch_add(1, Ordering::Relaxed) == 0 => Reply::json(
            200,
            &json!({ "auth": { "client_token": "hvs.gone", "accessor": "b", "lease_duration": 3600 } }),
        ),
        "auth/once/login" => errors(403, "permission denied"),
        "auth/kubernetes/login" => Reply::json(200, &session),
        _ if request.header("x-vault-token") == Some("hvs.gone") => errors(403, "permission denied"),
        "auth/token/lookup-self" => Reply::json(200, &json!({ "data": { "ttl": 3600 } })),
        "secret/ok" => Reply::json(200, &json!({ "data": { "k": "none of either" } })),
        "secret/denied" => errors(403, "permission denied"),
        "secret/busy" => errors(429, "rate limit quota exceeded"),
        "secret/sealed" => errors(503, "Vault is sealed"),
        "secret/none" => Reply::empty(),
        "secret/null" => Reply::json(200, &json!({ "data": null, "warnings": ["nothing there"] })),
        "secret/hung" => Reply::from(Manner::Hang),
        _ => Reply::json(404, &json!({ "errors": [] })),
    }
}

/// An agent that tries everything once, and soon gives up.
fn agent(kit: &Testkit, allowed: &[&str]) -> Agent {
    let mut agent = Agent::prepare(shipped());
    let allowed = allowed.iter().map(|site| format!("\"{site}\"")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "stores:\n  vault: {{ address: \"{}\", ca: {}, audience: vault }}\npolicy:\n  endpoints: {{ allow: [{allowed}] }}\n  \
         files: {{ allow: [/absent/ca.pem] }}\n\
         limits: {{ loginAttempts: 1, readAttempts: 1, attempt: 2s, breakerAfter: 1000 }}\naudit:\n  sink: {}\n",
        kit.address(),
        kit.ca().display(),
        agent.path("audit.jsonl").display(),
    );
    std::fs::write(agent.path("latchkey.yaml"), text).unwrap();
    agent.providers = "vault";
    agent.run();
    agent
}

/// Each as a pod of an account of its own, so that no session and no refusal of another's counts.
async fn refusal(agent: &Agent, number: usize, case: &Case) -> Refusal {
    let account = format!("app-{number}");
    let mut claims = claims(&account);
    claims["aud"] = json!(["vault"]);
    let pod = holding(&account, "vault", &unsigned(&claims));
    let mut parameters = BTreeMap::from([
        ("roleName".to_owned(), "web".to_owned()),
        ("objects".to_owned(), "- { objectName: o, secretPath: secret/ok, secretKey: k }".to_owned()),
    ]);
    parameters.extend(case.parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    parameters.retain(|_, value| !value.is_empty());
    let mut request = request("class", &parameters, &pod, &Flavour::Driver16);
    (case.change)(&mut request);
    let mut client = Client::new(agent.path("sockets/vault.sock"), Clock::system()).limit(Limit::None);
    let answer = client.mount(request, KUBELET).await;
    answer.err().unwrap_or_else(|| panic!("{} is delivered", case.upstream))
}

/// The rows of the table: upstream's text, our reason, and the pieces of ours.
fn rows() -> Vec<(String, String, Vec<String>)> {
    let page = std::fs::read_to_string(top().join("docs/compat/vault.md")).unwrap();
    let table = page.split("## What people alert on").nth(1).expect("the table is there");
    let table = table.split("\n## ").next().unwrap();
    let cells = |row: &str| row.split(" | ").map(str::to_owned).collect::<Vec<_>>();
    let word = |cell: &str| cell.split('`').nth(1).expect("a word in backticks").to_owned();
    let rows = table.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|cells| {
        let ours = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (word(&cells[0]), word(&cells[1]), ours)
    })
    .collect()
}

#[tokio::test]
async fn every_text_that_people_alert_on_has_its_counterpart() {
    let (kit, untrusted, logins) =
        (Testkit::start(), Testkit::start_as(Identity::Untrusted), AtomicUsize::new(0));
    kit.route("*", move |request| answer(&logins, &request));
    let (closed, untrusted_at) = (format!("https://{}", closed_port()), untrusted.address().to_string());
    let agent = agent(&kit, &[&closed, &untrusted_at, "https://vault.invalid:8200"]);
    let cases: Vec<Case> =
        [of_the_class(), of_the_server(), of_the_way(&closed, &untrusted_at)].into_iter().flatten().collect();
    let rows = rows();
    let (told, brought): (Vec<&str>, Vec<&str>) =
        (rows.iter().map(|row| &*row.0).collect(), cases.iter().map(|case| case.upstream).collect());
    for (number, case) in cases.iter().enumerate() {
        let refusal = refusal(&agent, number, case).await;
        let Some((_, reason, pieces)) = rows.iter().find(|row| row.0 == case.upstream) else { continue };
        let line = refusal.text.lines().next().unwrap();
        assert!(line.split([':', ' ']).next() == Some(reason), "{}: {line}", case.upstream);
        for piece in pieces {
            assert!(line.contains(piece.as_str()), "{}: `{piece}` is not in: {line}", case.upstream);
        }
    }
    assert_eq!(told, brought, "every row is brought about, and every failure has its row");
}
