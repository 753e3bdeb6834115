//! One accepted connection: HTTP/2 by hyper over tonic's routes, bounded in streams, headers and patience.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authority::Filter;
use super::guard::Guard;
use crate::clock::Clock;

/// Mounts at once on one connection: a full node's volumes come over one.
const STREAMS_MAX: u32 = 256;
/// Headers of one call. Real ones have a few hundred bytes.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// How long a peer may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a silent peer is pinged, and how long it may take to answer: who dribbles a frame cannot, and is gone after
/// ten seconds.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_WAIT: Duration = Duration::from_secs(5);

/// Serves until the peer goes, or `stop` asks for a GOAWAY and the calls at work are answered.
pub(super) async fn serve(
    stream: UnixStream,
    guard: Guard,
    clock: Clock,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let read = Arc::new(AtomicUsize::new(0));
    let io = TokioIo::new(Counted { stream, read: Arc::clone(&read), filter: Filter::default() });
    let service = service_fn(move |request| {
        let guard = guard.clone();
        async move { Ok::<_, std::convert::Infallible>(guard.answer(request).await) }
    });
    let connection = http2::Builder::new(Tasks(tasks))
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let hello = clock.sleep(PATIENCE);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        // hyper's own pings begin after the handshake; who has not even sent the preface by now never will.
        () = hello => if read.load(Ordering::Relaxed) < PREFACE_BYTES { return },
    }
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The client's preface and an empty SETTINGS frame (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24 + 9;

/// hyper's tasks, one per call, counted with ours so that a drain waits for them.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A stream that counts what was read, and gives drivers up to 1.5 an authority.
struct Counted {
    stream: UnixStream,
    read: Arc<AtomicUsize>,
    filter: Filter,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        // Nothing new to hand on is no end: as long as a frame is held, its rest is waited for.
        while buf.remaining() > 0 && buf.filled().len() == before {
            if self.filter.is_due() {
                let count = self.filter.take(buf.initialize_unfilled());
                buf.advance(count);
                break;
            }
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            let came = buf.filled().len() - before;
            if came == 0 {
                self.filter.end();
                if self.filter.is_due() {
                    continue;
                }
                break;
            }
            self.read.fetch_add(came, Ordering::Relaxed);
            let kept = self.filter.pass(&mut buf.filled_mut()[before..]);
            buf.set_filled(before + kept);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
