//! Faults of the process and its surroundings: killed, stopped, replaced, starved, blocked, unread.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use latchkey::clock::Clock;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tonic::Code;

use super::load::{Load, TOKEN, ask_for, is_token};
use crate::support::agent::{Agent, ask, faulty, shipped};
use crate::support::channel::{channel, contents, mount};
use crate::support::driver_like::{DriverLike, Outcome, Release};
use crate::support::faulty::CANARY;
use crate::support::process::{after, descriptors, threads};

/// Waits until one more connection is open than there were, and what was asked over it is at work.
async fn at_work(agent: &Agent) {
    let least = Cell::new(usize::MAX);
    agent.wait_until("a connection is accepted", |agent| {
        let now = descriptors(agent);
        // A probe's connection may still be closing.
        least.set(least.get().min(now));
        now > least.get()
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// A mount of a slow object, begun once the agent's descriptors are at rest.
async fn slow_mount<T: Send + 'static>(
    agent: &Agent,
    mount: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let mut before = 0;
    while before != descriptors(agent) {
        before = descriptors(agent);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mount = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        mount.await
    });
    at_work(agent).await;
    assert!(!mount.is_finished(), "the mount is over already");
    mount
}

#[tokio::test(flavor = "multi_thread")]
async fn f_35_a_mount_that_a_kill_cut_off_is_answered_by_the_next_process() {
    let mut agent = Agent::start(faulty());
    let secrets = "slow: { store: local, path: fault/slow-3000 }\n";
    let mut driver =
        DriverLike::new(&agent.socket(), Clock::system(), Release::V16 { poll: None }, move |_| {
            ask("app", &[("secrets", secrets)])
        });
    let publish = slow_mount(&agent, async move { (driver.publish().await, driver.sees()) }).await;
    agent.signal(Signal::KILL);
    assert_eq!(agent.ended(), None);
    agent.run();
    let (outcome, sees) = publish.await.unwrap();
    assert!(matches!(outcome, Outcome::Asked(_)), "{outcome:?}");
    assert_eq!(sees.unwrap()["slow"].1, b"at last");
}

#[test]
fn f_37_a_stop_during_the_start_is_clean_at_every_moment() {
    let mut agent = Agent::prepare(shipped());
    let listened = |agent: &Agent| agent.log().matches("\"listening\"").count();
    let mut own = 0;
    for round in 0..50u64 {
        let before = listened(&agent);
        agent.spawn();
        std::thread::sleep(Duration::from_millis(round * 37 % 100));
        agent.signal(Signal::TERM);
        let start = Instant::now();
        match agent.ended() {
            Some(code) => {
                assert_eq!(code, 0, "round {round}: {}", agent.log());
                own += 1;
            }
            // Before it can catch signals it has done nothing yet.
            None => assert_eq!(listened(&agent), before, "round {round}: it was killed while it served"),
        }
        assert!(start.elapsed() < Duration::from_secs(5), "round {round} takes too long to end");
        let left: Vec<_> = fs::read_dir(agent.path("sockets"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "latchkey.sock")
            .collect();
        assert!(left.is_empty(), "round {round} leaves {left:?}");
    }
    assert!(own > 0, "no round came as far as a clean end: the moments are too early");
    agent.run();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_41_no_mount_fails_while_agents_replace_each_other() {
    let mut old = Agent::prepare(faulty());
    old.configure("limits: { drain: 20s }\n");
    old.run();
    // Some mounts are at work whenever an agent is asked to stop.
    let secrets = "token: { store: local, path: web/token }\nslow: { store: local, path: fault/slow-30 }\n";
    let load = Load::start(&old.socket(), 8, secrets, |answer| {
        let files = contents(answer);
        &files["token"][..] == b"s3cr3t-token" && &files["slow"][..] == b"at last"
    });
    let mut replaced = 0;
    while replaced < 4 || load.done() < 1_000 {
        let before = load.done();
        let mut new = old.beside();
        new.run();
        old.signal(Signal::TERM);
        assert_eq!(old.ended(), Some(0), "{}", old.log());
        old = new;
        replaced += 1;
        old.wait_until("the load goes on", |_| load.done() >= before + 50);
        assert!(replaced < 200, "the load stands still at {}", load.done());
    }
    let (done, failed) = load.stop().await;
    assert!(done >= 1_000);
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(old.state().as_deref(), Some("bound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_at_work_is_answered_before_the_process_ends() {
    let mut agent = Agent::start(faulty());
    let line = channel(&agent.socket());
    let secrets = "slow: { store: local, path: fault/slow-3000 }\n";
    let slow = slow_mount(&agent, async move { mount(&line, ask_for("app", secrets)).await }).await;
    agent.signal(Signal::TERM);
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(&contents(&answer)["slow"][..], b"at last");
    assert_eq!(agent.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_43_a_driver_that_starts_again_and_again_leaves_nothing_behind() {
    let agent = Agent::start(faulty());
    let load = Load::start(&agent.socket(), 2, TOKEN, is_token);
    agent.wait_until("the load is on", |_| load.done() > 50);
    let (before, threads_before) = (descriptors(&agent), threads(&agent));
    for round in 0..200 {
        let line = channel(&agent.socket());
        if round % 2 == 0 {
            assert!(is_token(&mount(&line, ask_for("app", TOKEN)).await.unwrap()));
        } else {
            // It ends in the middle of a mount.
            let secrets = "slow: { store: local, path: fault/slow-200 }\n";
            let cut = tokio::time::timeout(Duration::from_millis(20), mount(&line, ask_for("cut", secrets)));
            assert!(cut.await.is_err());
        }
    }
    agent.wait_until("descriptors are given back", |agent| descriptors(agent) <= before);
    agent.wait_until("mounts nobody waits for are finished", |agent| {
        agent.figure("latchkey_volume_last_success_timestamp_seconds{namespace=\"web\",pod=\"cut-1\"") > 0.0
    });
    // Threads that read files come and go; none stays per connection.
    assert!(threads(&agent) < threads_before + 20, "{} of {threads_before}", threads(&agent));
    let (_, failed) = load.stop().await;
    assert_eq!(failed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f_45_without_descriptors_accepting_rests_and_goes_on() {
    let mut agent = Agent::prepare(shipped());
    let log = fs::File::create(agent.path("log.jsonl")).unwrap();
    let child = after("ulimit -n 64", &agent).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    agent.child = Some(child);
    agent.wait_state("bound");
    agent.mount("app", TOKEN).await.unwrap();
    let crowd: Vec<_> = (0..100).map(|_| UnixStream::connect(agent.socket()).unwrap()).collect();
    agent.wait_until("accepting fails", |agent| agent.log().contains("accepting failed"));
    assert!(descriptors(&agent) >= 60);
    drop(crowd);
    agent.mount("app", TOKEN).await.unwrap();
    agent.wait_until("it is itself again", |agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200));
    assert!(agent.child.as_mut().unwrap().try_wait().unwrap().is_none(), "it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_49_a_hundred_panics_harm_none_of_a_hundred_good_mounts() {
    let agent = Agent::start(faulty());
    let line = channel(&agent.socket());
    let calls = (0..200).map(|number| {
        let line = line.clone();
        tokio::spawn(async move {
            let bad = number % 2 == 0;
            let secrets = if bad { "boom: { store: local, path: fault/panic }\n" } else { TOKEN };
            (bad, mount(&line, ask_for(&format!("pod-{number}"), secrets)).await)
        })
    });
    let mut texts = BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            (true, answer) => {
                let status = answer.err().expect("it fails");
                assert_eq!(status.code(), Code::Internal);
                texts.insert(status.message().to_owned());
            }
            (false, answer) => assert!(is_token(&answer.unwrap())),
        }
    }
    assert_eq!(texts.len(), 1, "one fault has one text: {texts:?}");
    assert!(!texts.iter().any(|text| text.contains(CANARY)), "{texts:?}");
    assert_eq!(agent.figure("latchkey_panics_total"), 100.0);
    let failed = "latchkey_mounts_total{provider=\"latchkey\",outcome=\"failed\",reason=\"bug\"}";
    assert_eq!(agent.figure(failed), 100.0);
    agent.wait_until("every outcome is on record", |agent| agent.audit().len() == 200);
    assert!(!agent.log().contains(CANARY));
}

#[tokio::test(flavor = "multi_thread")]
async fn f_51_a_runtime_that_stands_still_is_noticed_and_the_process_ended() {
    let mut agent = Agent::prepare(faulty());
    agent.configure("limits: { livezAfter: 500ms, exitAfter: 3s }\n");
    agent.run();
    // Until the store's files are old enough, every mount waits for another thread to look at them, and one blocked
    // mount keeps the others from coming as far.
    let (start, mut asked, mut unwell) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_millis(4_500) {
        asked += 1;
        unwell += u32::from(agent.get("/livez").unwrap().0 != 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A machine under load may stand still for a moment; a pulse that is too slow fails about half of the probes.
    assert!(unwell * 4 < asked, "{unwell} of {asked} probes of an idle agent fail");
    agent.mount("app", TOKEN).await.unwrap();
    let line = channel(&agent.socket());
    for number in 0..8 {
        let line = line.clone();
        // Nobody will answer these.
        tokio::spawn(async move {
            let secrets = "block: { store: local, path: fault/block-120 }\n";
            mount(&line, ask_for(&format!("pod-{number}"), secrets)).await
        });
    }
    agent.wait_until("the probe fails", |agent| agent.get("/livez").is_none_or(|(code, _)| code != 200));
    assert_eq!(agent.ended(), Some(1));
    assert!(agent.log().contains("the runtime stands still"), "{}", agent.log());
}

/// What begins every HTTP/2 connection: the preface and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_bounded_and_closed_and_keep_nobody_out_who_is_in() {
    let agent = Agent::start(shipped());
    let line = channel(&agent.socket());
    assert!(is_token(&mount(&line, ask_for("app", TOKEN)).await.unwrap()));
    let before = descriptors(&agent);
    let crowd: Vec<_> = (0..300)
        .map(|number| {
            let mut stream = UnixStream::connect(agent.socket()).unwrap();
            // A third says hello and then nothing more, not even to a ping. Who is over the limit is closed already.
            if number % 3 == 0 {
                let _ = stream.write_all(HELLO);
            }
            stream
        })
        .collect();
    let refused = "latchkey_connections_refused_total{why=\"limit\"}";
    agent.wait_until("the limit holds", |agent| agent.figure(refused) >= 45.0);
    assert!(is_token(&mount(&line, ask_for("app", TOKEN)).await.unwrap()));
    let start = Instant::now();
    for mut stream in crowd {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it is kept for ever")
            }
        }
    }
    assert!(start.elapsed() > Duration::from_secs(5), "nobody was let in at all");
    agent.wait_until("descriptors are given back", |agent| descriptors(agent) <= before);
    assert_eq!(agent.figure(refused), 45.0);
    agent.mount("app", TOKEN).await.unwrap();
}
