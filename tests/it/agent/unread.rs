//! Log and audit trail whose reader is gone, slow, or has moved the file away.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use rustix::process::Signal;
use tonic::Code;

use super::load::{Load, TOKEN, ask_for, is_token};
use crate::support::agent::{Agent, faulty, shipped};
use crate::support::channel::{channel, mount};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_53_a_log_that_nobody_reads_delays_no_mount() {
    let mut agent = Agent::prepare(faulty());
    let child = agent.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    agent.child = Some(child);
    agent.wait_state("bound");
    let line = channel(&agent.socket());
    let workers = (0..8).map(|worker| {
        let line = line.clone();
        tokio::spawn(async move {
            for _ in 0..750 {
                let secrets = "no: { store: local, path: fault/upstream }\n";
                let answer = mount(&line, ask_for(&format!("pod-{worker}"), secrets)).await;
                assert_eq!(answer.err().expect("it fails").code(), Code::Internal);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert!(agent.figure("latchkey_log_dropped_total") > 0.0);
    assert_eq!(agent.mount("app", TOKEN).await.unwrap().files.len(), 1);
    let child = agent.child.take();
    let pipe = child.and_then(|mut child| {
        let pipe = child.stderr.take();
        agent.child = Some(child);
        pipe
    });
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0), "a log that nobody reads keeps it from ending");
    drop(pipe);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_53_an_audit_trail_that_nobody_reads_costs_lines_or_mounts_as_it_is_configured() {
    for required in [false, true] {
        let mut agent = Agent::prepare(shipped());
        let text = format!(
            "stores:\n  local: {{ file: {}, identity: {} }}\n\
             audit: {{ sink: stdout, polls: all, queueLines: 16, required: {required} }}\n",
            agent.path("store.age").display(),
            agent.path("key.txt").display()
        );
        fs::write(agent.path("latchkey.yaml"), text).unwrap();
        let mut child = agent.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut unread = child.stdout.take().unwrap();
        agent.child = Some(child);
        agent.wait_state("bound");
        let mut told = None;
        for _ in 0..5_000 {
            match agent.mount("app", TOKEN).await {
                Ok(_) if agent.figure("latchkey_audit_dropped_total") > 0.0 => break,
                Ok(_) => {}
                Err(refusal) => {
                    told = Some(refusal);
                    break;
                }
            }
        }
        assert_eq!(told.is_some(), required, "{told:?}");
        assert!(required || agent.figure("latchkey_audit_dropped_total") > 0.0);
        if let Some(refusal) = told {
            assert_eq!(refusal.name(), "Internal");
            assert!(refusal.text.contains("the audit sink does not keep up"), "{}", refusal.text);
        }
        // Its reader is back.
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            unread.read_to_string(&mut all).map(|_| all)
        });
        let mut answer = agent.mount("app", TOKEN).await;
        for _ in 0..20 {
            if answer.is_ok() {
                break;
            }
            answer = agent.mount("app", TOKEN).await;
        }
        answer.unwrap();
        agent.signal(Signal::TERM);
        assert_eq!(agent.ended(), Some(0));
        let lines = reader.join().unwrap().unwrap();
        for line in lines.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert!(lines.contains("web/token"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_file_that_is_moved_away_loses_no_line() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("  polls: all\n");
    agent.run();
    let load = Load::start(&agent.socket(), 4, TOKEN, is_token);
    for turn in 0..20 {
        let before = load.done();
        agent.wait_until("there are new lines", |agent| {
            load.done() >= before + 25 && agent.path("audit.jsonl").exists()
        });
        fs::rename(agent.path("audit.jsonl"), agent.path(&format!("audit.{turn}"))).unwrap();
    }
    let (done, failed) = load.stop().await;
    assert_eq!(failed, Vec::<String>::new());
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    let mut lines = agent.audit().len();
    for turn in 0..20 {
        let text = fs::read_to_string(agent.path(&format!("audit.{turn}"))).unwrap();
        assert!(text.ends_with('\n'), "a line is torn");
        lines += text
            .lines()
            .inspect(|line| drop(serde_json::from_str::<serde_json::Value>(line).unwrap()))
            .count();
    }
    assert_eq!(lines, done);
}
