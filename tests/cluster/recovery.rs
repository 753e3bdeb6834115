//! Every reason that a class or a backend can give a first mount to fail: the pod does not start, the driver asks again,
//! and once the cause is mended the next call mounts. With another code than ours, driver 1.6 takes the first failure
//! for a mount that is done, and the pod runs with an empty volume; that is tried at the driver's default of two
//! minutes between polls.

use serde_json::json;

use crate::agent;
use crate::backend::{Answer, Backend};
use crate::kubectl::{eventually, holds};
use crate::namespace::Namespace;
use crate::openbao;
use crate::pod::draft;

/// A pod with the class `web` fails for this reason, twice at least; once it is mended the container finds the file.
fn recovers(namespace: &Namespace, reason: &str, mend: impl FnOnce()) {
    let pod = draft("web").patient_volume("secrets", "web").start(namespace);
    eventually("two failed calls", || {
        let reasons = namespace.reasons();
        holds(reasons.len() >= 2, || format!("{reasons:?} {:?}", pod.failures()))
    });
    pod.waits();
    let reasons = namespace.reasons();
    assert!(reasons.iter().all(|found| found == reason), "{reasons:?}");
    assert_eq!(pod.failures().len(), 1, "{:?}", pod.failures());
    mend();
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "mended");
}

/// The same with a server that fails until it does not.
fn a_server_recovers(name: &'static str, reason: &str, answer: Answer) {
    let _agent = agent::shared();
    let namespace = Namespace::new(name);
    let backend = Backend::start(name, answer);
    namespace.native_class("web", name, "secret/data/x");
    recovers(&namespace, reason, || backend.answers(Answer::Value("mended".to_owned())));
}

#[test]
fn a_first_mount_recovers_from_an_invalid_class() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("invalid", "mended");
    namespace.class("web", "vault", json!({ "roleName": "invalid", "objects": "- objectName: [" }));
    recovers(&namespace, "invalid", || namespace.vault_class("web"));
}

#[test]
fn a_first_mount_recovers_from_a_refusal_of_policy() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("policy", "mended");
    let objects = "- objectName: value\n  secretPath: secret/data/x\n  secretKey: value\n";
    let elsewhere =
        json!({ "roleName": "policy", "vaultAddress": "https://vault.elsewhere.test", "objects": objects });
    namespace.class("web", "vault", elsewhere);
    recovers(&namespace, "policy", || namespace.vault_class("web"));
}

#[test]
fn a_first_mount_recovers_from_a_missing_audience() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("setup", "mended");
    let objects = "- objectName: value\n  secretPath: secret/data/setup/value\n  secretKey: value\n";
    namespace.class(
        "web",
        "vault",
        json!({ "roleName": "setup", "audience": "not-requested", "objects": objects }),
    );
    recovers(&namespace, "setup", || namespace.vault_class("web"));
}

#[test]
fn a_first_mount_recovers_from_a_refused_login() {
    let _agent = agent::shared();
    let namespace = Namespace::new("login");
    openbao::permit("login");
    openbao::put("login/value", "mended");
    namespace.vault_class("web");
    recovers(&namespace, "login", || openbao::kubernetes_role("login"));
}

#[test]
fn a_first_mount_recovers_from_a_forbidden_object() {
    let _agent = agent::shared();
    let namespace = Namespace::new("forbidden");
    openbao::kubernetes_role("forbidden");
    openbao::put("forbidden/value", "mended");
    namespace.vault_class("web");
    recovers(&namespace, "forbidden", || openbao::permit("forbidden"));
}

#[test]
fn a_first_mount_recovers_from_an_absent_object() {
    let _agent = agent::shared();
    let namespace = Namespace::new("not-found");
    openbao::permit("not-found");
    openbao::kubernetes_role("not-found");
    namespace.vault_class("web");
    recovers(&namespace, "not_found", || openbao::put("not-found/value", "mended"));
}

#[test]
fn a_first_mount_recovers_from_a_secret_that_is_too_large() {
    a_server_recovers("oversized", "too_large", Answer::Value("x".repeat(5 << 20)));
}

#[test]
fn a_first_mount_recovers_from_a_server_that_throttles() {
    a_server_recovers("throttled", "throttled", Answer::Status(429));
}

#[test]
fn a_first_mount_recovers_from_a_server_that_is_ill() {
    a_server_recovers("upstream", "upstream", Answer::Status(500));
}

#[test]
fn a_first_mount_recovers_from_a_server_that_does_not_answer() {
    a_server_recovers("timeout", "timeout", Answer::Silence);
}

#[test]
fn a_first_mount_recovers_from_a_server_that_is_not_there() {
    let _agent = agent::shared();
    let namespace = Namespace::new("unreachable");
    namespace.native_class("web", "unreachable", "secret/data/x");
    recovers(&namespace, "unreachable", || {
        Backend::start("unreachable", Answer::Value("mended".to_owned()));
    });
}
