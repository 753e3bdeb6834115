//! What reaches a pod while it runs.

use serde_json::{Value, json};

use crate::agent;
use crate::backend::{Answer, Backend};
use crate::kubectl::{eventually, get, holds};
use crate::namespace::Namespace;
use crate::openbao;
use crate::pod::draft;

#[test]
fn a_changed_secret_reaches_the_running_container() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("rotation", "one");
    namespace.vault_class("web");
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "one");
    openbao::put("rotation/value", "two");
    pod.reads("secrets/value", "two");
    pod.never_was_empty();
}

#[test]
fn files_stay_while_the_backend_is_out_and_change_when_it_is_back() {
    let _agent = agent::shared();
    let namespace = Namespace::new("outage");
    let backend = Backend::start("outage", Answer::Value("before".to_owned()));
    namespace.native_class("web", "outage", "secret/data/x");
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "before");
    backend.answers(Answer::Status(503));
    // The last good is handed out again, and told so.
    let stale = "latchkey_cache_total{store=\"outage\",result=\"stale\"}";
    eventually("two polls during the outage", || {
        let count = agent::figure(stale);
        holds(count.is_some_and(|count| count >= 2.0), || format!("{count:?}"))
    });
    assert_eq!(pod.file("secrets/value"), "before");
    assert_eq!(pod.failures(), []);
    backend.answers(Answer::Value("after".to_owned()));
    pod.reads("secrets/value", "after");
    pod.never_was_empty();
}

#[test]
fn files_stay_when_the_pod_may_not_read_them_any_more() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("withdrawn", "before");
    namespace.vault_class("web");
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    openbao::bao(&["policy", "delete", "withdrawn"]);
    // We say no, each time; the driver keeps that to itself, and the files where they are.
    eventually("two refusals", || {
        let reasons = namespace.reasons();
        holds(reasons.len() >= 2 && reasons.iter().all(|reason| reason == "forbidden"), || {
            format!("{reasons:?}")
        })
    });
    assert_eq!(pod.file("secrets/value"), "before");
    assert_eq!(pod.failures(), []);
}

#[test]
fn a_copy_in_a_secret_and_the_status_change_exactly_with_the_content() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("copies", "one");
    let objects = "- objectName: nested/value\n  secretPath: secret/data/copies/value\n  secretKey: value\n";
    let copies = json!([{ "secretName": "copy", "type": "Opaque", "data": [{ "objectName": "nested/value", "key": "password" }] }]);
    namespace.class_with("web", "vault", json!({ "roleName": "copies", "objects": objects }), copies);
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    let copied = |value: &str| {
        use base64::Engine as _;
        let wanted = base64::engine::general_purpose::STANDARD.encode(value);
        // The driver first makes the Secret, and within seconds names its owner in it.
        eventually("the copy in a Secret", || {
            let secret = get(&["-n", "copies", "secret", "copy"]);
            let owned = secret["metadata"]["ownerReferences"].is_array();
            holds(owned && secret["data"]["password"] == wanted.as_str(), || secret.to_string())
        });
        versions()
    };
    let first = copied("one");
    pod.polls("secrets", 3);
    assert_eq!(versions(), first, "nothing has changed but the versions");
    openbao::put("copies/value", "two");
    pod.reads("secrets/nested/value", "two");
    let second = copied("two");
    for (before, after) in [(&first.0, &second.0), (&first.1, &second.1), (&first.2, &second.2)] {
        assert_ne!(before, after, "the content has changed but not the versions");
    }
    pod.polls("secrets", 3);
    assert_eq!(versions(), second, "nothing has changed but the versions");
}

/// Of the Secret and of the driver's status their resource versions, and the objects in the status.
fn versions() -> (Value, Value, Value) {
    let secret = get(&["-n", "copies", "secret", "copy"]);
    let status = get(&["-n", "copies", "secretproviderclasspodstatus", "web-copies-web"]);
    let of = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert!(of(&secret).is_string() && of(&status).is_string(), "{secret} {status}");
    (of(&secret), of(&status), status["status"]["objects"].clone())
}
