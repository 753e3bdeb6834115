//! What a tenant, a stranger on the network, or a machine that was frozen can do to an agent that others need.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tonic::Code;

use crate::support::agent::{Agent, ask, faulty, shipped};

/// A class that names one long word again and again, by aliases that cost a few bytes each.
fn bomb(entry: impl Fn(usize) -> String) -> String {
    let long = "x".repeat(150 << 10);
    let entries: String = (0..499).map(|number| entry(number) + "\n").collect();
    format!("a: &W {long}\n{entries}")
}

#[tokio::test]
async fn y_05_a_long_word_repeated_by_aliases_is_refused_at_once() {
    let agent = Agent::start(shipped());
    for entry in [
        |number| format!("s{number}: {{ store: local, path: web/token, ? *W : x }}"),
        |number| format!("s{number}: {{ store: *W, path: web/token }}"),
        |number| format!("s{number}: {{ store: local, path: *W }}"),
    ] {
        let class = bomb(entry);
        let start = Instant::now();
        let refusal = agent.mount("app", &class).await.err().expect("it is refused");
        assert_eq!(refusal.code, i32::from(Code::InvalidArgument), "{}", refusal.text);
        // Not for its length, which is within bounds, but for what it repeats.
        assert!(refusal.text.contains("more than 10000 nodes"), "{}", refusal.text);
        assert!(refusal.text.len() <= 4096);
        // What it took before words were bounded was half a minute, and a third of a gigabyte.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn five_hundred_files_of_undeclared_secrets_are_refused_at_once() {
    let agent = Agent::start(shipped());
    let secrets: String =
        (0..500).map(|n| format!("secret_with_a_long_name_{n:03}: {{ store: local, path: p }}\n")).collect();
    let files: String = (0..500).map(|n| format!("f{n}: secret_with_a_lonk_name_{n:03}x\n")).collect();
    let start = Instant::now();
    let request = ask("app", &[("secrets", &secrets), ("files", &files)]);
    let refusal = agent.client().mount(request, None).await.err().expect("it is refused");
    assert!(refusal.text.contains("did you mean"), "{}", refusal.text);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn f_29_a_machine_that_was_frozen_kills_no_agent() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("limits: { livezAfter: 1s, exitAfter: 2s }\n");
    agent.run();
    for _ in 0..3 {
        agent.signal(Signal::STOP);
        tokio::time::sleep(Duration::from_secs(3)).await;
        agent.signal(Signal::CONT);
        agent
            .wait_until("it is well again", |agent| agent.get("/livez").is_some_and(|(code, _)| code == 200));
    }
    assert!(agent.mount("app", "t: { store: local, path: web/token }\n").await.is_ok());
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
}

#[tokio::test]
async fn a_latchkey_that_was_slow_to_say_who_it_is_is_taken_over_all_the_same() {
    let old = Agent::start(shipped());
    let mut new = old.beside();
    old.signal(Signal::STOP);
    new.spawn();
    // Who does not answer in two seconds may be anyone.
    new.wait_state("standby");
    old.signal(Signal::CONT);
    new.wait_state("bound");
    assert!(new.mount("app", "t: { store: local, path: web/token }\n").await.is_ok());
    old.wait_state("replaced");
}

#[test]
fn half_requests_at_the_admin_address_keep_nobody_from_the_probes() {
    let agent = Agent::start(shipped());
    let half: Vec<TcpStream> = (0..200)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(agent.admin).ok()?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: ").ok()?;
            Some(stream)
        })
        .collect();
    assert!(half.len() > 32);
    agent.wait_until("a probe is answered", |agent| agent.get("/livez").is_some_and(|(code, _)| code == 200));
    // Those over the limit are closed at once, the others when their headers do not come.
    for mut stream in half {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stream.read_to_end(&mut Vec::new());
        let open =
            ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(!open, "a half request is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_sink_that_takes_nothing_holds_no_exit_up() {
    let mut agent = Agent::prepare(faulty());
    let fifo = agent.path("audit.fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _unread = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let text = format!(
        "stores:\n  local: {{ file: {}, identity: {} }}\naudit: {{ sink: {}, queueLines: 16 }}\n",
        agent.path("store.age").display(),
        agent.path("key.txt").display(),
        fifo.display()
    );
    std::fs::write(agent.path("latchkey.yaml"), text).unwrap();
    agent.run();
    // Polls that are owed a line at the end, and more lines than the pipe and the queue hold.
    let polls = (0..40).map(|pod| {
        let (line, account) = (agent.client(), format!("pod-{pod}"));
        tokio::spawn(async move {
            let mut line = line;
            for _ in 0..3 {
                let request = ask(&account, &[("secrets", "t: { store: local, path: web/token }\n")]);
                let _ = line.mount(request, None).await;
            }
            for _ in 0..20 {
                let request = ask(&account, &[("secrets", "no: { store: local, path: fault/upstream }\n")]);
                let _ = tokio::time::timeout(Duration::from_millis(50), line.mount(request, None)).await;
            }
        })
    });
    for poll in polls.collect::<Vec<_>>() {
        poll.await.unwrap();
    }
    agent.signal(Signal::TERM);
    let start = Instant::now();
    assert_eq!(agent.ended(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(35),
        "kubelet waits 35 seconds, and this took {:?}",
        start.elapsed()
    );
}
