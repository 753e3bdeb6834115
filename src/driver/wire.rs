//! One HTTP/2 connection over a unix socket, without a timer of its own: tonic's `Channel` ends a call at its
//! `grpc-timeout` by itself, which would hide what the other side says at that very moment.
//!
//! It keeps the `grpc-status` that really travelled, apart from what a library makes of its absence.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, FutureExt as _, select};
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tonic::body::Body;

use crate::proto::csi_driver_provider_client::CsiDriverProviderClient;

/// A connection. Its requests are moved by [`Link::drive`], and by nothing else; hyper's executor runs the frames below,
/// which end with the link.
pub(super) struct Link {
    sender: SendRequest<Body>,
    connection: BoxFuture<'static, ()>,
    status: Arc<AtomicI32>,
    ended: bool,
}

impl Link {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The system's, where nobody takes the connection; `InvalidData` where HTTP/2 cannot begin.
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let connection = Box::pin(async move { drop(connection.await) });
        Ok(Self { sender, connection, status: Arc::new(AtomicI32::new(ABSENT)), ended: false })
    }

    /// Whether another call may be made on it: looks whether the other side has ended it since the last one.
    pub(super) fn is_open(&mut self) -> bool {
        self.ended = self.ended || (&mut self.connection).now_or_never().is_some();
        !self.ended && !self.sender.is_closed()
    }

    /// The generated client over this connection, with the `:authority` that driver 1.6 sends.
    pub(super) fn client(&self) -> CsiDriverProviderClient<Caller> {
        self.status.store(ABSENT, Ordering::Relaxed);
        let caller = Caller { sender: self.sender.clone(), status: Arc::clone(&self.status) };
        CsiDriverProviderClient::with_origin(caller, Uri::from_static("http://localhost"))
    }

    /// Runs a call of [`Self::client`] to its end.
    pub(super) async fn drive<T>(&mut self, call: impl Future<Output = T>) -> T {
        if self.ended {
            return call.await;
        }
        match select(std::pin::pin!(call), &mut self.connection).await {
            Either::Left((out, _)) => out,
            Either::Right(((), call)) => {
                self.ended = true;
                call.await
            }
        }
    }

    /// The `grpc-status` of the last call, if one came.
    pub(super) fn status(&self) -> Option<i32> {
        match self.status.load(Ordering::Relaxed) {
            ABSENT => None,
            status => Some(status),
        }
    }
}

/// Sends one request on a shared connection.
#[derive(Clone)]
pub(super) struct Caller {
    sender: SendRequest<Body>,
    status: Arc<AtomicI32>,
}

impl tower::Service<Request<Body>> for Caller {
    type Response = Response<Watched>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sent = self.sender.send_request(request);
        let status = Arc::clone(&self.status);
        Box::pin(async move {
            let response = sent.await?;
            note(&status, response.headers());
            Ok(response.map(|body| Watched { body, status }))
        })
    }
}

/// A response body whose trailers are looked at as they pass.
pub(super) struct Watched {
    body: Incoming,
    status: Arc<AtomicI32>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            note(&self.status, trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn note(status: &AtomicI32, headers: &HeaderMap) {
    let sent = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(sent) = sent {
        status.store(sent, Ordering::Relaxed);
    }
}

/// No status has come: none of gRPC's is negative.
const ABSENT: i32 = -1;
