//! Large answers, many at once: they wait for each other and do not fill the memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use latchkey::proto::MountResponse;
use latchkey::proto::csi_driver_provider_client::CsiDriverProviderClient;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Code, Request, Status};

use super::load::{TOKEN, ask_for, is_token};
use crate::support::agent::{Agent, shipped};
use crate::support::channel::{channel, contents, mount};
use crate::support::process::{peak, resident};

const MIB: usize = 1 << 20;

/// 64 MiB, and something for a build that is not optimised and writes all its traces: it peaks at 31 MiB when it opens
/// its store. Without bounds the same mounts take 800.
const PEAK_KIB_MAX: u64 = 72 << 10;

/// An agent whose store has three entries of one MiB less a little each.
fn agent(more: &str) -> Agent {
    let mut agent = Agent::prepare(shipped());
    agent.configure(more);
    for number in 0..3 {
        agent.set(&format!("web/large-{number}"), "web/*", &[("", &large(number))]);
    }
    agent.run();
    agent
}

fn large(number: usize) -> String {
    format!("{number:08}").repeat(MIB / 8 - 64)
}

fn class(number: usize) -> String {
    format!("large: {{ store: local, path: web/large-{number} }}\n")
}

/// A connection with the windows of a Go client, as the driver's: what does not fit them waits in the agent. It has no
/// timer of its own, and is closed with its last clone.
#[derive(Clone)]
struct Line(SendRequest<Body>);

impl Line {
    /// Read no more after `patience` bytes.
    async fn connect(agent: &Agent, patience: usize) -> Self {
        let stream = UnixStream::connect(agent.socket()).await.unwrap();
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .handshake(TokioIo::new(Slow { stream, patience }))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn mount(&self, pod: usize, secrets: &str, time: Duration) -> Result<MountResponse, Status> {
        let origin = Uri::from_static("http://localhost");
        let mut client =
            CsiDriverProviderClient::with_origin(self.clone(), origin).max_decoding_message_size(64 << 20);
        let mut request = Request::new(ask_for(&format!("pod-{pod}"), secrets));
        request.set_timeout(time);
        client.mount(request).await.map(tonic::Response::into_inner)
    }
}

impl tower::Service<http::Request<Body>> for Line {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A stream that is read no more after so many bytes.
struct Slow {
    stream: UnixStream,
    patience: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_47_a_thousand_answers_of_a_mib_at_once_are_right_or_busy_and_never_too_much_memory() {
    const MOUNTS: usize = 1_000;
    let agent = agent("");
    let line = channel(&agent.socket());
    mount(&line, ask_for("app", &class(0))).await.unwrap();
    let before = peak(&agent);
    let mut lines = Vec::new();
    for _ in 0..8 {
        lines.push(Line::connect(&agent, usize::MAX).await);
    }
    let mut calls = JoinSet::new();
    for pod in 0..MOUNTS {
        let line = lines[pod % lines.len()].clone();
        // A third of them has five seconds, which will not do for all.
        let time = Duration::from_secs(if pod % 3 == 0 { 10 } else { 120 });
        calls.spawn(async move {
            let number = pod % 3;
            let mut refused = 0;
            loop {
                match line.mount(pod, &class(number), time).await {
                    Ok(answer) => {
                        assert!(&contents(&answer)["large"][..] == large(number).as_bytes());
                        return refused;
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::Internal, "{status:?}");
                        assert!(status.message().contains("as it has room for"), "{}", status.message());
                        assert!(status.message().contains("`limits.roomBytes`"), "{}", status.message());
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                }
            }
        });
    }
    let refused: usize = calls.join_all().await.iter().sum();
    let after = peak(&agent);
    println!("peak {before} KiB, then {after} KiB; now {} KiB; refused {refused}", resident(&agent));
    assert!(after < PEAK_KIB_MAX, "{before} KiB, then {after} KiB");
    let busy = "latchkey_mounts_total{provider=\"latchkey\",outcome=\"failed\",reason=\"busy\"}";
    assert_eq!(agent.figure(busy), refused as f64, "what was refused is on record as such");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_reads_large_answers_are_busy_small_ones_come_and_the_room_returns() {
    let agent = agent("limits: { roomBytes: 16777216 }\n");
    let line = Line::connect(&agent, usize::MAX).await;
    line.mount(7, &class(0), Duration::from_secs(120)).await.unwrap();
    let stalled = Line::connect(&agent, 4_000).await;
    let mut unread = JoinSet::new();
    for pod in 0..16 {
        let line = stalled.clone();
        unread.spawn(async move { line.mount(pod, &class(0), Duration::from_secs(120)).await.is_ok() });
    }
    let second = Duration::from_secs(4);
    let mut told = None;
    for _ in 0..50 {
        if let Err(status) = line.mount(99, &class(1), second).await {
            told = Some(status);
            break;
        }
    }
    let told = told.expect("the room is never taken");
    assert_eq!(told.code(), Code::Internal);
    assert!(told.message().starts_with("busy: the agent holds as many large answers"), "{}", told.message());
    assert!(is_token(&line.mount(7, TOKEN, second).await.unwrap()), "a small answer needs no room");
    // The connection goes with its last clone, and what it held with it.
    unread.shutdown().await;
    drop(stalled);
    let answer = line.mount(99, &class(1), Duration::from_secs(120)).await.unwrap();
    assert!(&contents(&answer)["large"][..] == large(1).as_bytes());
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.patience == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.patience = self.patience.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
