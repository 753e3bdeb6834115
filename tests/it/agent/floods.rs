//! Peers that mean harm, in raw bytes: each ends alone, costs bounded memory, and a mount beside it goes through.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::thread::set_thread_res_uid;

use crate::support::agent::{Agent, ask, shipped};
use crate::support::contract::{KUBELET, memory, send};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `POST /v1alpha1.CSIDriverProvider/Mount`, as HPACK literals without an index.
fn call() -> Vec<u8> {
    let path = b"/v1alpha1.CSIDriverProvider/Mount";
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path);
    block
}

/// A peer that has said hello.
fn peer(agent: &Agent) -> UnixStream {
    let mut stream = UnixStream::connect(agent.socket()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    stream
}

/// Writes all, until the other end closes (`true`) or takes no more.
fn flood(stream: &mut UnixStream, chunks: impl Iterator<Item = Vec<u8>>) -> bool {
    let start = Instant::now();
    for chunk in chunks.take_while(|_| start.elapsed() < LONG) {
        match stream.write_all(&chunk) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) => return true,
        }
    }
    false
}

/// Reads until the other end closes; whether it did within that time.
fn closed(stream: &mut UnixStream, within: Duration) -> bool {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while start.elapsed() < within {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

/// A mount goes through, and the agent has not grown since.
async fn unharmed(agent: &Agent, before: u64) {
    let request = ask("app", &[("secrets", "token: { store: local, path: web/token }\n")]);
    assert!(send(agent, &request, KUBELET).await.is_ok());
    let (_, after) = memory(agent);
    assert!(after - before < 32 << 20, "grew by {} KiB", (after - before) >> 10);
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn g_25_an_endless_header_block_ends_its_connection_alone() {
    let agent = Agent::start(shipped());
    let (_, before) = memory(&agent);
    let mut stream = peer(&agent);
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &call())).unwrap();
    // A header whose value never ends is never complete; ones that are complete add up.
    let field = [&[0x00, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let fields: Vec<u8> = field.repeat(150);
    let continued = flood(&mut stream, (0..4000).map(|_| frame(CONTINUATION, 0, 1, &fields)));
    assert!(continued || closed(&mut stream, LONG), "60 MB of headers were taken");
    unharmed(&agent, before).await;
}

#[tokio::test]
async fn g_25_calls_that_are_taken_back_at_once_end_their_connection_alone() {
    let agent = Agent::start(shipped());
    let (_, before) = memory(&agent);
    let mut stream = peer(&agent);
    let cancel = 8u32.to_be_bytes();
    let begun = (0..10_000u32).map(|n| {
        let stream = 2 * n + 1;
        [frame(HEADERS, END_HEADERS, stream, &call()), frame(RST_STREAM, 0, stream, &cancel)].concat()
    });
    let ended = flood(&mut stream, begun);
    assert!(ended || closed(&mut stream, LONG), "10,000 calls were begun and taken back");
    unharmed(&agent, before).await;
}

#[tokio::test]
async fn g_25_pings_and_settings_without_end_cost_no_memory() {
    let agent = Agent::start(shipped());
    let (_, before) = memory(&agent);
    for (kind, payload) in [(PING, &[7; 8][..]), (SETTINGS, &[][..])] {
        // Answers are not read, so that they would pile up where they are not held back.
        let mut stream = peer(&agent);
        let thousand = frame(kind, 0, 0, payload).repeat(1000);
        flood(&mut stream, (0..1000).map(|_| thousand.clone()));
        unharmed(&agent, before).await;
    }
}

#[tokio::test]
async fn g_27_a_peer_that_does_not_finish_its_first_words_is_closed_after_ten_seconds() {
    let agent = Agent::start(shipped());
    let (_, before) = memory(&agent);
    let start = Instant::now();
    let silent = UnixStream::connect(agent.socket()).unwrap();
    let drip = UnixStream::connect(agent.socket()).unwrap();
    let (dripping, waiting) = (thread(drip, PREFACE.to_vec()), thread(silent, Vec::new()));
    for ended in [dripping, waiting] {
        let ended = ended.join().unwrap().expect("it is closed").duration_since(start);
        assert!(ended > Duration::from_secs(8), "closed after {ended:?}: slow is not wrong");
    }
    unharmed(&agent, before).await;
}

#[tokio::test]
async fn g_27_headers_of_a_byte_a_second_end_with_an_unanswered_ping() {
    let agent = Agent::start(shipped());
    let (_, before) = memory(&agent);
    let stream = peer(&agent);
    let headers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &call());
    thread(stream, headers).join().unwrap().expect("it is closed before its headers are through");
    unharmed(&agent, before).await;
}

/// Sends a byte a second; says when the other end closed, `None` where it did not within 40 seconds.
fn thread(mut stream: UnixStream, bytes: Vec<u8>) -> std::thread::JoinHandle<Option<Instant>> {
    std::thread::spawn(move || {
        let start = Instant::now();
        let mut bytes = bytes.into_iter();
        while start.elapsed() < Duration::from_secs(40) {
            if closed(&mut stream, Duration::from_secs(1)) {
                return Some(Instant::now());
            }
            if let Some(byte) = bytes.next()
                && stream.write_all(&[byte]).is_err()
            {
                return Some(Instant::now());
            }
        }
        None
    })
}

/// What happens to a connection under another user: whether it was closed. Only root can become one, on a thread of
/// its own, since a thread never comes back.
fn as_nobody(socket: &Path) -> bool {
    let socket = socket.to_owned();
    let nobody = rustix::process::Uid::from_raw(65534);
    let connect = std::thread::spawn(move || {
        set_thread_res_uid(nobody, nobody, nobody).expect("root may become anyone");
        let mut stream = UnixStream::connect(socket).expect("the socket is open to all");
        closed(&mut stream, LONG)
    });
    connect.join().expect("it connected")
}

#[tokio::test]
async fn g_23_a_peer_of_another_user_is_closed_and_counted() {
    let agent = Agent::start(shipped());
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can speak as another user");
        return;
    }
    let (_, before) = memory(&agent);
    let mode = std::fs::metadata(agent.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the first lock");
    // Opened up, as a mount of the folder elsewhere might: the second lock holds.
    for (path, mode) in [(agent.path(""), 0o755), (agent.path("sockets"), 0o755), (agent.socket(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let refused = "latchkey_connections_refused_total{why=\"peer\"}";
    assert!(agent.figure(refused) < 0.1);
    assert!(as_nobody(&agent.socket()), "the connection stays open");
    assert!((agent.figure(refused) - 1.0).abs() < 0.1, "it is counted");
    agent.wait_until("the log names the uid", |agent| agent.log().contains("65534"));
    unharmed(&agent, before).await;
}
