//! The agent comes and goes: killed, absent, replaced.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::agent;
use crate::backend::{Answer, Backend};
use crate::kubectl::{eventually, holds, kubectl};
use crate::namespace::Namespace;
use crate::pod::draft;

#[test]
fn an_agent_killed_in_mid_mount_leaves_no_pod_without_its_files() {
    let _alone = agent::alone();
    let namespace = Namespace::new("killed");
    let backend = Backend::start("held", Answer::Silence);
    namespace.native_class("web", "held", "secret/data/x");
    let pod = draft("web").patient_volume("secrets", "web").start(&namespace);
    eventually("a mount that waits for its backend", || holds(backend.reads() > 0, || "no read".to_owned()));
    agent::kill();
    backend.answers(Answer::Value("after the kill".to_owned()));
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "after the kill");
}

#[test]
fn a_pod_waits_for_an_agent_that_comes_later() {
    let _alone = agent::alone();
    let namespace = Namespace::new("absent");
    namespace.native_class("web", "local", "shared/value");
    agent::remove();
    let pod = draft("web").patient_volume("secrets", "web").start(&namespace);
    eventually("kubelet at work on the volume", || {
        holds(fs::exists(format!("/var/lib/kubelet/pods/{}", pod.uid())).unwrap(), || "no folder".to_owned())
    });
    pod.waits();
    agent::deploy();
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "from the local store");
}

#[test]
fn a_rolling_update_fails_no_mount() {
    let _alone = agent::alone();
    let namespace = Namespace::new("rolling");
    namespace.native_class("web", "local", "shared/value");
    let running = draft("running").volume("secrets", "web").start(&namespace);
    running.ready();
    let errors = driver_errors();
    let patch = r#"{"spec": {"template": {"metadata": {"annotations": {"update": "of the tests"}}}}}"#;
    kubectl(&["-n", "kube-system", "patch", "daemonset", "latchkey", "--patch", patch]);
    let names: Vec<String> = (0..8).map(|number| format!("web-{number}")).collect();
    let pods: Vec<_> =
        names.iter().map(|name| draft(name).volume("secrets", "web").start(&namespace)).collect();
    kubectl(&["-n", "kube-system", "rollout", "status", "daemonset", "latchkey", "--timeout=240s"]);
    for pod in &pods {
        pod.ready();
        assert_eq!(pod.file("secrets/value"), "from the local store");
        assert_eq!(pod.failures(), []);
    }
    running.polls("secrets", 2);
    running.never_was_empty();
    assert_eq!(driver_errors(), errors, "a mount failed");
    let bound = agent::figure("latchkey_socket{name=\"latchkey\",state=\"bound\"}");
    assert_eq!(bound, Some(1.0));
}

#[test]
fn a_stale_socket_in_the_drivers_other_folder_is_told_by_its_name() {
    // The driver keeps the path that it has found first, so nobody may look for this one meanwhile.
    let _alone = agent::alone();
    let stale = "/etc/kubernetes/secrets-store-csi-providers/openbao.sock";
    let state =
        |state: &str| agent::figure(&format!("latchkey_socket{{name=\"openbao\",state=\"{state}\"}}"));
    assert_eq!(state("shadowed"), Some(0.0));
    drop(UnixListener::bind(stale).expect("a socket that nobody serves"));
    eventually("the shadow in the figures", || {
        holds(state("shadowed") == Some(1.0), || format!("{:?}", state("bound")))
    });
    assert!(agent::log().contains(stale), "{}", agent::log());
    fs::remove_file(stale).expect("it is removed");
    eventually("the socket without its shadow", || {
        holds(state("bound") == Some(1.0), || format!("{:?}", state("shadowed")))
    });
}

/// The driver's own count of failed mounts, polls included, which it tells nobody else.
fn driver_errors() -> f64 {
    let text = agent::figures("127.0.0.1", 8095).expect("the driver's figures");
    let failed = |line: &&str| line.contains("_error_total{");
    text.lines().filter(failed).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
