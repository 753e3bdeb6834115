//! What a person reads who asks why a pod does not start.

use serde_json::json;

use crate::agent;
use crate::kubectl::{eventually, holds};
use crate::namespace::Namespace;
use crate::pod::draft;

#[test]
fn a_refused_role_is_told_in_openbaos_own_words_in_one_event() {
    let _agent = agent::shared();
    let namespace = Namespace::new("refused-role");
    let objects = "- objectName: value\n  secretPath: secret/data/x\n  secretKey: value\n";
    namespace.class("web", "vault", json!({ "roleName": "nobodys-role", "objects": objects }));
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    // Equal texts fold: however often kubelet tries, there is one event, which counts.
    let (text, _) = eventually("three attempts", || {
        let failures = pod.failures();
        failures.iter().find(|(_, count)| *count >= 3).cloned().ok_or_else(|| format!("{failures:?}"))
    });
    assert!(
        text.contains("invalid role name \\\"nobodys-role\\\"")
            || text.contains("invalid role name \"nobodys-role\""),
        "{text}"
    );
    assert!(text.contains("code = Unauthenticated"), "{text}");
    assert_eq!(pod.failures().len(), 1, "{:?}", pod.failures());
    pod.waits();
    let reasons = namespace.reasons();
    assert!(reasons.len() >= 3 && reasons.iter().all(|reason| reason == "login"), "{reasons:?}");
}

#[test]
fn a_class_of_another_namespace_is_none_of_the_pods() {
    let _agent = agent::shared();
    let other = Namespace::new("with-a-class");
    other.native_class("web", "local", "shared/value");
    let namespace = Namespace::new("without-a-class");
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    // The driver's own words: we are not asked.
    pod.fails("failed to get secretproviderclass without-a-class/web");
    pod.waits();
    assert_eq!(namespace.audit(), Vec::<serde_json::Value>::new());
    // With a class of its own it starts.
    namespace.native_class("web", "local", "shared/value");
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "from the local store");
}

#[test]
fn a_provider_that_nobody_serves_is_told_by_the_driver() {
    let _agent = agent::shared();
    let namespace = Namespace::new("no-provider");
    namespace.class("web", "nobody", json!({ "secrets": "x" }));
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.fails("provider not found");
    namespace.native_class("web", "local", "shared/value");
    pod.ready();
    let audit = namespace.audit();
    eventually("its delivery", || {
        holds(audit.iter().any(|line| line["outcome"] != "failed"), || format!("{audit:?}"))
    });
}
