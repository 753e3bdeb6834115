//! What is remembered of a holder: polls are quiet, changes are not, and what is not on record was not delivered.

use std::fs;
use std::os::unix::fs::symlink;

use tonic::Code;

use crate::support::agent::{Agent, ask, shipped};
use crate::support::contract::{Expect, KUBELET, delivered, new_lines, refusal, refused, send};

const BOTH: &str = "token: { store: local, path: web/token }\ndb: { store: local, path: web/db }\n";

#[tokio::test]
async fn unchanged_polls_write_no_line_and_a_change_names_what_changed() {
    let agent = Agent::start(shipped());
    let class = ask("app", &[("secrets", BOTH)]);
    delivered(&agent, &class, 2).await;
    for _ in 0..3 {
        delivered(&agent, &class, 0).await;
    }
    // Another pod is another holder; its line shows that none of the polls was merely late.
    delivered(&agent, &ask("other", &[("secrets", BOTH)]), 2).await;
    agent.set("web/db", "web/*", &[("username", "web"), ("password", "another")]);
    let before = agent.audit().len();
    delivered(&agent, &class, 2).await;
    let lines = new_lines(&agent, before, 2);
    let outcome = |object: &str| {
        let line = lines.iter().find(|line| line["object"] == object).unwrap();
        (line["outcome"].as_str().unwrap().to_owned(), line["version"].as_str().unwrap().to_owned())
    };
    assert_eq!(outcome("web/db"), ("changed".to_owned(), "2".to_owned()));
    assert_eq!(outcome("web/token"), ("unchanged".to_owned(), "1".to_owned()));
    assert_ne!(lines[0]["mount"], agent.audit()[0]["mount"], "each mount has a number of its own");
}

#[tokio::test]
async fn a_mode_that_changed_is_a_change() {
    let agent = Agent::start(shipped());
    let with_mode = |mode: &str| {
        ask(
            "app",
            &[
                ("secrets", "t: { store: local, path: web/token }\n"),
                ("files", &format!("f: {{ from: t, mode: \"{mode}\" }}\n")),
            ],
        )
    };
    delivered(&agent, &with_mode("0440"), 1).await;
    delivered(&agent, &with_mode("0440"), 0).await;
    delivered(&agent, &with_mode("0400"), 1).await;
    assert_eq!(agent.audit()[1]["outcome"], "changed");
}

#[tokio::test]
async fn with_all_polls_each_delivery_has_its_lines() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("  polls: all\n");
    agent.run();
    let class = ask("app", &[("secrets", BOTH)]);
    delivered(&agent, &class, 2).await;
    delivered(&agent, &class, 2).await;
    let outcomes: Vec<_> = agent.audit().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["changed", "changed", "unchanged", "unchanged"]);
}

#[tokio::test]
async fn what_must_be_recorded_and_cannot_be_is_not_delivered() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("  required: true\n");
    symlink("/dev/full", agent.path("audit.jsonl")).unwrap();
    agent.run();
    let class = ask("app", &[("secrets", BOTH)]);
    let mut texts = Vec::new();
    for _ in 0..2 {
        let Err(refusal) = send(&agent, &class, KUBELET).await else { panic!("delivered unrecorded") };
        assert_eq!(Code::from_i32(refusal.code), Code::Internal);
        assert!(refusal.text.starts_with("busy: the audit sink fails"), "{}", refusal.text);
        texts.push(refusal.text);
    }
    assert_eq!(texts[0], texts[1]);
    let failed = "latchkey_mounts_total{provider=\"latchkey\",outcome=\"failed\",reason=\"busy\"}";
    assert!((agent.figure(failed) - 2.0).abs() < 0.1);
    assert!((agent.figure("latchkey_audit_dropped_total") - 4.0).abs() < 0.1, "two lines of two mounts");

    fs::remove_file(agent.path("audit.jsonl")).unwrap();
    delivered(&agent, &class, 2).await;
    assert!(agent.audit().iter().all(|line| line["outcome"] == "changed"), "nothing was remembered as given");
    let seconds = |first: bool| {
        agent.figure(&format!("latchkey_mount_seconds_count{{provider=\"latchkey\",first=\"{first}\"}}"))
    };
    assert!((seconds(true) - 3.0).abs() < 0.1 && seconds(false) < 0.1);
    delivered(&agent, &class, 0).await;
    assert!((seconds(true) - 3.0).abs() < 0.1 && (seconds(false) - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_refusal_says_the_very_line_that_would_allow_it() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("policy:\n  rules: []\n");
    agent.run();
    let class = ask("app", &[("secrets", BOTH)]);
    let policy = Expect { lines: 2, ..refusal(Code::PermissionDenied, "policy") };
    let text = refused(&agent, &class, policy).await;
    let lines: Vec<&str> =
        text.split("`policy.rules`: ").skip(1).filter_map(|rest| rest.lines().next()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    agent.signal(rustix::process::Signal::TERM);
    agent.ended();
    agent.configure(&format!("policy:\n  rules:\n  {}\n", lines.join("\n  ")));
    agent.run();
    delivered(&agent, &class, 2).await;
    // And no more than that.
    refused(&agent, &ask("other", &[("secrets", BOTH)]), policy).await;
}
