//! Many mounts: right to the last byte, bounded, and without a trace afterwards. No rate is measured here.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::proto::{MountRequest, MountResponse};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::agent::{Agent, ask, faulty, shipped};
use crate::support::channel::{channel, contents, mount, mount_like_the_driver};
use crate::support::process::{descriptors, resident};

pub(super) const TOKEN: &str = "token: { store: local, path: web/token }\n";

pub(super) fn ask_for(account: &str, secrets: &str) -> MountRequest {
    ask(account, &[("secrets", secrets)])
}

/// Whether the answer is what [`TOKEN`] asks for.
pub(super) fn is_token(answer: &MountResponse) -> bool {
    answer.files.len() == 1 && &answer.files[0].contents[..] == b"s3cr3t-token"
}

/// Mounts of one class by several pods over one connection, one after another each, until it is stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Load {
    pub(super) fn start(
        socket: &Path,
        workers: usize,
        secrets: &'static str,
        right: fn(&MountResponse) -> bool,
    ) -> Self {
        let (shared, line) = (Arc::new(Shared::default()), channel(socket));
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            let (shared, line) = (Arc::clone(&shared), line.clone());
            tasks.spawn(async move {
                let request = ask_for(&format!("load-{worker}"), secrets);
                while !shared.stop.load(Ordering::Relaxed) {
                    let (answer, sent) = mount_like_the_driver(&line, &request).await;
                    let wrong = match answer {
                        Ok(answer) if right(&answer) => None,
                        Ok(_) => Some("a wrong answer".to_owned()),
                        Err(status) => Some(format!("{status:?}, sent {sent} times")),
                    };
                    shared.failed.lock().unwrap().extend(wrong);
                    shared.done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { shared, workers: tasks }
    }

    /// How many mounts have ended.
    pub(super) fn done(&self) -> usize {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// How many mounts there were, and what went wrong.
    pub(super) async fn stop(self) -> (usize, Vec<String>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.workers.join_all().await;
        (self.shared.done.load(Ordering::Relaxed), std::mem::take(&mut *self.shared.failed.lock().unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_03_a_full_node_mounts_at_once_and_each_pod_gets_its_own() {
    const PODS: usize = 110;
    let agent = Agent::start(shipped());
    let own = |pod: usize| format!("for pod {pod} only ").repeat(50);
    let shared = [1 << 10, 3 << 10, 20 << 10].map(|bytes: usize| "0123456789abcdef".repeat(bytes / 16));
    for (number, text) in shared.iter().enumerate() {
        agent.set(&format!("web/shared-{number}"), "web/*", &[("", text)]);
    }
    for pod in 0..PODS {
        agent.set(&format!("web/own-{pod}"), &format!("web/pod-{pod}"), &[("", &own(pod))]);
    }
    let line = channel(&agent.socket());
    let mut calls = JoinSet::new();
    for pod in 0..PODS {
        let line = line.clone();
        calls.spawn(async move {
            let object = |name: &str, path: &str| format!("{name}: {{ store: local, path: web/{path} }}\n");
            let mut secrets = object("own", &format!("own-{pod}"));
            (0..3).for_each(|n| secrets += &object(&format!("shared{n}"), &format!("shared-{n}")));
            (pod, mount(&line, ask_for(&format!("pod-{pod}"), &secrets)).await)
        });
    }
    for (pod, answer) in calls.join_all().await {
        let answer = answer.unwrap();
        let files = contents(&answer);
        assert_eq!(files.len(), 4);
        assert_eq!(&files["own"][..], own(pod).as_bytes());
        for (number, text) in shared.iter().enumerate() {
            assert_eq!(&files[format!("shared{number}").as_str()][..], text.as_bytes());
        }
    }
    assert_eq!(agent.figure("latchkey_mounts_total{"), 110.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_08_ten_thousand_mounts_leave_no_memory_and_no_descriptor_behind() {
    let agent = Agent::start(shipped());
    let line = channel(&agent.socket());
    let request =
        ask_for("app", "token: { store: local, path: web/token }\ndb: { store: local, path: web/db }\n");
    let mut before = (0, 0);
    for round in 0..12_000 {
        if round == 2_000 {
            before = (resident(&agent), descriptors(&agent));
        }
        let answer = mount(&line, request.clone()).await.unwrap();
        assert_eq!(&contents(&answer)["db/password"][..], b"s3cr3t-password");
    }
    let after = (resident(&agent), descriptors(&agent));
    assert!(after.0 < before.0 + (4 << 10), "resident {} KiB, then {} KiB", before.0, after.0);
    assert!(after.1 <= before.1 + 2, "{} descriptors, then {}", before.1, after.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_and_fifty_six_mounts_are_at_work_on_one_connection() {
    let mut agent = Agent::prepare(faulty());
    agent.configure("limits: { mountsInFlight: 256 }\n");
    agent.run();
    let line = channel(&agent.socket());
    let mut calls = JoinSet::new();
    for pod in 0..256 {
        calls.spawn(once_there_is_room(line.clone(), pod, "slow: { store: local, path: fault/slow-8000 }\n"));
    }
    let busy = until_busy(&agent).await;
    assert_eq!(busy.code(), Code::Internal);
    for answer in calls.join_all().await {
        assert_eq!(&contents(&answer.unwrap())["slow"][..], b"at last");
    }
    agent.mount("app", TOKEN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mount_beyond_the_limit_is_told_to_try_again() {
    let mut agent = Agent::prepare(faulty());
    agent.configure("limits: { mountsInFlight: 4 }\n");
    agent.run();
    let line = channel(&agent.socket());
    let mut calls = JoinSet::new();
    for pod in 0..4 {
        calls.spawn(once_there_is_room(line.clone(), pod, "slow: { store: local, path: fault/slow-4000 }\n"));
    }
    let busy = until_busy(&agent).await;
    assert_eq!(busy.code(), Code::Internal);
    assert!(busy.message().contains("as many mounts at work as it takes"), "{}", busy.message());
    assert!(busy.message().contains("`limits.mountsInFlight`"), "{}", busy.message());
    let failed = "latchkey_mounts_total{provider=\"latchkey\",outcome=\"failed\",reason=\"busy\"}";
    assert!(agent.figure(failed) >= 1.0);
    for answer in calls.join_all().await {
        answer.unwrap();
    }
    agent.mount("app", TOKEN).await.unwrap();
}

/// Asks until it is not refused for want of a place.
async fn once_there_is_room(
    line: Channel,
    pod: usize,
    secrets: &'static str,
) -> Result<MountResponse, tonic::Status> {
    loop {
        match mount(&line, ask_for(&format!("pod-{pod}"), secrets)).await {
            Err(status) if status.message().contains("as many mounts at work") => {}
            answer => return answer,
        }
    }
}

/// Asks over a connection of its own until a mount is refused; the places are all taken then.
async fn until_busy(agent: &Agent) -> tonic::Status {
    let line = channel(&agent.socket());
    let start = std::time::Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "the places are never all taken");
        match mount(&line, ask_for("late", TOKEN)).await {
            Ok(answer) => assert!(is_token(&answer)),
            Err(status) => return status,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
