use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey::clock::Clock;
use latchkey::cluster::Cluster;
use latchkey::error::{Fault, Reason, Retry};
use serde_json::{Value, json};

use super::api::{ApiServer, status};
use super::here;
use crate::testkit::Reply;

/// What the provider for Vault calls its own.
const NAME: &str = "vault-csi-provider-hmac-key";
const FOLDER: &str = "/api/v1/namespaces/kube-system/secrets";

async fn key(cluster: &Cluster, clock: Clock) -> Result<Vec<u8>, Fault> {
    let key = cluster.version_key(NAME, clock.now() + Duration::from_secs(60)).await?;
    Ok(key.expose().to_vec())
}

fn secret(data: &Value) -> Value {
    json!({ "kind": "Secret", "apiVersion": "v1", "metadata": { "name": NAME }, "data": data })
}

fn asked(api: &ApiServer) -> Vec<String> {
    api.kit.take_log().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
}

#[tokio::test]
async fn the_key_is_made_where_it_is_absent_and_then_read() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let cluster = here(&api, clock);
    let made = key(&cluster, clock).await.unwrap();
    let log = api.kit.take_log();
    assert_eq!((log.len(), &*log[0].method, &*log[1].method), (2, "GET", "POST"));
    let data = json!({ "key": STANDARD.encode(&made) });
    let wanted = json!({
        "kind": "Secret", "apiVersion": "v1", "type": "Opaque", "immutable": true,
        "metadata": { "name": NAME }, "data": data,
    });
    assert_eq!((log[1].json(), made.len()), (wanted, 32));
    assert_eq!(key(&cluster, clock).await.unwrap(), made);
    assert_eq!(asked(&api), [format!("GET {FOLDER}/{NAME}")]);
    api.state().secrets.clear();
    assert_ne!(key(&cluster, clock).await.unwrap(), made, "deleting it did not make another");
}

#[tokio::test]
async fn a_key_that_another_node_made_first_is_the_one() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    api.state().secrets.insert(NAME.to_owned(), secret(&json!({ "key": STANDARD.encode("theirs") })));
    api.kit.script(FOLDER, status(404, "not yet"));
    assert_eq!(key(&here(&api, clock), clock).await.unwrap(), b"theirs");
    let read = format!("GET {FOLDER}/{NAME}");
    assert_eq!(asked(&api), [read.clone(), format!("POST {FOLDER}"), read]);
}

#[tokio::test]
async fn a_secret_without_a_usable_key_is_told_and_left_alone() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let cluster = here(&api, clock);
    for data in
        [json!(null), json!({}), json!({ "other": "eA==" }), json!({ "key": "" }), json!({ "key": "?" })]
    {
        api.state().secrets.insert(NAME.to_owned(), secret(&data));
        let fault = key(&cluster, clock).await.unwrap_err();
        let text = fault.problem.to_string();
        assert_eq!((fault.problem.reason, fault.retry), (Reason::Setup, Retry::Never), "{data}: {text}");
        assert!(text.contains("has no `key`; delete it"), "{text}");
        assert_eq!(asked(&api), [format!("GET {FOLDER}/{NAME}")]);
    }
}

#[tokio::test]
async fn what_may_not_be_read_or_made_is_told_with_the_rights_to_apply() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let cluster = here(&api, clock);
    let absent = || status(404, "absent");
    let rights = "daemonset/rbac-version-key.yaml";
    for (answers, reason, retry, told) in [
        (vec![status(403, "no")], Reason::Setup, Retry::Never, ["may not read it: no", rights]),
        (vec![absent(), status(403, "no")], Reason::Setup, Retry::Never, ["may not make it: no", rights]),
        (vec![status(401, "who")], Reason::Setup, Retry::Never, ["own token: who", "cluster.credentials"]),
        (vec![absent(), status(409, ""), absent()], Reason::Upstream, Retry::Backoff, ["comes and goes", ""]),
        (vec![status(500, "broken")], Reason::Upstream, Retry::Backoff, ["answered 500: broken", ""]),
        (vec![Reply::text(200, "[]")], Reason::Upstream, Retry::Never, ["the reply is no Secret", ""]),
        (vec![Reply::text(200, "{\"kind\":\"Pod\"}")], Reason::Upstream, Retry::Never, ["is no Secret", ""]),
    ] {
        answers.into_iter().for_each(|answer| api.kit.script(FOLDER, answer));
        let fault = key(&cluster, clock).await.unwrap_err();
        let text = fault.problem.to_string();
        assert_eq!((fault.problem.reason, fault.retry, api.kit.unasked()), (reason, retry, 0), "{text}");
        assert!(told.iter().all(|told| text.contains(told)) && text.contains(NAME), "{text}\nlacks {told:?}");
    }
}
