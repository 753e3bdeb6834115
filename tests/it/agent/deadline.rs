//! Time: an answer of ours comes before the caller gives up, whatever hangs, and a stop leaves no mount unanswered.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use latchkey::driver::{Limit, Mounted, Refusal};
use latchkey::proto::MountRequest;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::support::agent::{Agent, ask, faulty, files};
use crate::support::contract::{KUBELET, new_lines, send};

fn fault(path: &str) -> MountRequest {
    ask("app", &[("secrets", &format!("x: {{ store: local, path: fault/{path} }}\n"))])
}

/// A mount of that fault, at work in the store by the time this returns.
fn begun(agent: &Agent, path: &str) -> JoinHandle<Result<Mounted, Refusal>> {
    let (mut client, request) = (agent.client().limit(Limit::None), fault(path));
    let call = tokio::task::spawn(async move {
        let answer = client.mount(request, KUBELET);
        tokio::time::timeout(Duration::from_secs(150), answer).await.expect("it is answered at all")
    });
    agent.wait_until("the store is asked", |agent| agent.log().contains("a fault begins"));
    call
}

#[tokio::test]
async fn a_store_that_hangs_is_answered_for_before_the_caller_gives_up() {
    let agent = Agent::start(faulty());
    let (start, lines) = (Instant::now(), agent.audit().len());
    let Err(refusal) = send(&agent, &fault("hang"), Some(Duration::from_secs(8))).await else {
        panic!("delivered")
    };
    let took = start.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(Code::from_i32(refusal.code), Code::Internal);
    assert!(refusal.text.starts_with("timeout: store `local`"), "{}", refusal.text);
    assert_eq!(new_lines(&agent, lines, 1)[0]["reason"], "timeout");
}

#[tokio::test]
async fn a_request_that_never_arrives_whole_is_answered_in_time() {
    let agent = Agent::start(faulty());
    let lines = agent.audit().len();
    let status = tokio::task::spawn_blocking({
        let socket = agent.socket();
        move || half_a_request(UnixStream::connect(socket).unwrap())
    });
    assert!(status.await.unwrap(), "the call ends with a status, and not with the connection");
    let line = &new_lines(&agent, lines, 1)[0];
    assert_eq!((&line["reason"], &line["object"]), (&"timeout".into(), &serde_json::Value::Null));
}

/// Sends headers with a `grpc-timeout` of two seconds and a byte of the message; whether headers come back.
fn half_a_request(mut stream: UnixStream) -> bool {
    let literal = |name: &str, value: &str| {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [vec![0], text(name), text(value)].concat()
    };
    let path = "/v1alpha1.CSIDriverProvider/Mount";
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend(literal("content-type", "application/grpc"));
    block.extend(literal("te", "trailers"));
    block.extend(literal("grpc-timeout", "2S"));
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let sent = [hello, frame(4, 0, 0, &[]), frame(1, 4, 1, &block), frame(0, 0, 1, &[0])].concat();
    stream.write_all(&sent).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        std::io::copy(&mut (&stream).take(length as u64), &mut std::io::sink()).unwrap();
        if head[3] == 1 && head[8] == 1 {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gives_up_leaves_its_line_all_the_same() {
    let agent = Agent::start(faulty());
    let lines = agent.audit().len();
    let call = begun(&agent, "slow-1500");
    call.abort();
    assert!(call.await.is_err_and(|error| error.is_cancelled()), "it gave up while the store was asked");
    let line = &new_lines(&agent, lines, 1)[0];
    assert_eq!((&line["event"], &line["object"]), (&"deliver".into(), &"fault/slow-1500".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_at_work_is_finished_before_a_stop() {
    let mut agent = Agent::start(faulty());
    let call = begun(&agent, "slow-2000");
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    let mounted = call.await.unwrap().map_err(|refusal| refusal.text).unwrap();
    assert_eq!(&files(&mounted)["x"].1[..], b"at last");
    assert!(agent.socket().exists(), "the driver waits on the path for the next agent");
    assert_eq!(new_lines(&agent, 0, 1)[0]["outcome"], "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_outlasts_the_drain_is_answered_and_not_dropped() {
    let mut agent = Agent::prepare(faulty());
    agent.configure("limits: { drain: 1s }\n");
    agent.run();
    let call = begun(&agent, "hang");
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    let Err(refusal) = call.await.unwrap() else { panic!("delivered") };
    assert_eq!(refusal.wire, Some(i32::from(Code::Internal)), "{}", refusal.text);
    assert!(refusal.text.starts_with("busy: the agent is stopping"), "{}", refusal.text);
    assert!(agent.socket().exists());
    let line = &new_lines(&agent, 0, 1)[0];
    assert_eq!((&line["outcome"], &line["reason"]), (&"failed".into(), &"busy".into()));
}
