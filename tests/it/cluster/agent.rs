//! The whole agent beside an API server.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::process::Stdio;
use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::driver::{Client, Flavour, Limit, Mounted, Refusal, request};
use serde_json::json;

use super::api::ApiServer;
use crate::support::agent::{Agent, pod, shipped};
use crate::support::issuer::{AUDIENCE, ISSUER, Issuer};
use crate::testkit::{Reply, Testkit};

/// Runs the agent as a pod of the API server's cluster.
fn run_in(agent: &mut Agent, api: &ApiServer) {
    let log = OpenOptions::new().create(true).append(true).open(agent.path("log.jsonl")).unwrap();
    let mut command = agent.command();
    command.envs(api.environment());
    agent.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    agent.wait_until("the agent is ready", |agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200));
}

/// A server that lets everybody in.
fn vault() -> Testkit {
    let kit = Testkit::start();
    kit.route("*", |request| match &*request.path {
        "/v1/auth/kubernetes/login" => Reply::json(
            200,
            &json!({ "auth": { "client_token": "hvs.x", "entity_id": "e", "policies": [], "lease_duration": 3600 } }),
        ),
        "/v1/secret/data/app" => {
            Reply::json(200, &json!({ "data": { "data": { "password": "pw" }, "metadata": { "version": 1 } } }))
        }
        path => Reply::text(404, path),
    });
    kit
}

async fn mount(agent: &Agent, account: &str) -> Result<Mounted, Refusal> {
    let objects = "- { objectName: password, secretPath: secret/data/app, secretKey: password }";
    let parameters = BTreeMap::from([("roleName", "web"), ("objects", objects)]);
    let parameters = parameters.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut client = Client::new(agent.path("sockets/vault.sock"), Clock::system()).limit(Limit::None);
    client
        .mount(
            request("class", &parameters, &pod(account), &Flavour::Driver16),
            Some(Duration::from_secs(120)),
        )
        .await
}

fn configure(agent: &Agent, vault: &Testkit, more: &str) {
    let text = format!(
        "stores:\n  vault: {{ address: \"{}\", ca: {} }}\naudit:\n  sink: {}\n{more}",
        vault.address(),
        vault.ca().display(),
        agent.path("audit.jsonl").display(),
    );
    fs::write(agent.path("latchkey.yaml"), text).unwrap();
}

#[tokio::test]
async fn a_pod_that_has_no_token_gets_one_where_the_administrator_allows_it() {
    let (mut agent, vault, api) = (Agent::prepare(shipped()), vault(), ApiServer::start());
    agent.providers = "vault";
    let option = format!("cluster: {{ tokenRequest: true, credentials: {} }}\n", api.credentials().display());
    configure(&agent, &vault, &option);
    run_in(&mut agent, &api);
    for account in ["app", "app", "job"] {
        let mounted = mount(&agent, account).await.unwrap_or_else(|refusal| panic!("{}", refusal.text));
        assert_eq!(&*mounted.files[0].2, b"pw");
    }
    let issued = api.state().issued.clone();
    let log = vault.take_log();
    let shown: Vec<_> = log
        .iter()
        .filter(|asked| asked.path.ends_with("/login"))
        .map(|asked| asked.json()["jwt"].clone())
        .collect();
    assert_eq!((issued.len(), shown), (2, issued.iter().map(|token| json!(token)).collect()));
    let figure = "latchkey_backend_requests_total{store=\"api-server\",operation=\"token\",code=\"2xx\"}";
    assert!((agent.figure(figure) - 2.0).abs() < 0.1);
    let told = agent.log() + &fs::read_to_string(agent.path("audit.jsonl")).unwrap();
    assert!(issued.iter().all(|token| !told.contains(token)) && !told.contains("agents-own-token"), "{told}");

    api.state().bearer = "another".to_owned();
    let refusal = mount(&agent, "late").await.err().unwrap();
    assert_eq!(refusal.code, tonic::Code::FailedPrecondition as i32, "{}", refusal.text);
    assert!(refusal.text.contains("does not believe the agent's own token"), "{}", refusal.text);
}

#[tokio::test]
async fn where_nothing_is_switched_on_the_api_server_hears_nothing() {
    let (mut agent, vault, api) = (Agent::prepare(shipped()), vault(), ApiServer::start());
    agent.providers = "vault";
    configure(&agent, &vault, "");
    run_in(&mut agent, &api);
    let refusal = mount(&agent, "app").await.err().unwrap();
    assert_eq!(refusal.code, tonic::Code::FailedPrecondition as i32, "{}", refusal.text);
    for told in ["add `- audience: vault` to `tokenRequests` of CSIDriver", "`cluster.tokenRequest`"] {
        assert!(refusal.text.contains(told), "{}\nlacks {told}", refusal.text);
    }
    assert_eq!((api.kit.connections(), vault.connections()), (0, 0));
}

#[tokio::test]
async fn a_local_store_that_wants_the_api_servers_own_audience_is_given_no_token_of_it() {
    let (mut agent, api) = (Agent::prepare(shipped()), ApiServer::start());
    let more = format!("cluster: {{ tokenRequest: true, credentials: {} }}\n", api.credentials().display());
    Issuer::new().trusted_by(&agent, &more);
    let text = fs::read_to_string(agent.path("latchkey.yaml")).unwrap();
    let own = format!("audience: \"{ISSUER}\"");
    fs::write(agent.path("latchkey.yaml"), text.replace(&format!("audience: {AUDIENCE}"), &own)).unwrap();
    run_in(&mut agent, &api);
    let refusal = agent.mount("app", "db: { store: local, path: web/db }").await.err().unwrap();
    assert_eq!(refusal.code, tonic::Code::PermissionDenied as i32, "{}", refusal.text);
    assert!(refusal.text.contains("no token for it is asked for"), "{}", refusal.text);
    assert_eq!(api.kit.connections(), 0);
}

#[tokio::test]
async fn two_agents_and_a_restart_say_the_same_versions_under_the_key_of_a_secret() {
    let api = ApiServer::start();
    let option = format!(
        "versions: {{ secret: latchkey-version-key }}\ncluster: {{ credentials: {} }}\n",
        api.credentials().display()
    );
    let start = || {
        let mut agent = Agent::prepare(shipped());
        agent.configure(&option);
        run_in(&mut agent, &api);
        agent
    };
    let (mut one, other) = (start(), start());
    let secrets = "db: { store: local, path: web/db }";
    let versions = async |agent: &Agent| match agent.mount("app", secrets).await {
        Ok(mounted) => mounted.versions,
        Err(refusal) => panic!("{}", refusal.text),
    };
    let first = versions(&one).await;
    assert_eq!(versions(&other).await, first);
    one.signal(rustix::process::Signal::KILL);
    one.ended();
    run_in(&mut one, &api);
    assert_eq!(versions(&one).await, first);
    assert_eq!((first.len(), api.state().secrets.len()), (2, 1));
}
