//! The outermost layer of every call. It reads `grpc-timeout` and takes it away from a `Mount`, so that no timer but
//! ours ends one, and turns whatever leaves a `Mount` with a code outside the contract into `Internal`: tonic answers
//! with codes of its own where a message is too large or does not decode.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::code::{is_final, status};
use crate::clock::{Clock, Instant};
use crate::engine::Engine;
use crate::error::{Problem, Reason};
use crate::telemetry::Metrics;

/// What the layer tells the handler of a mount.
#[derive(Clone)]
pub(super) struct Admission {
    /// Until when it must answer.
    pub(super) deadline: Instant,
    /// Set once the engine has it, and will account for it.
    pub(super) begun: Arc<AtomicBool>,
}

/// The routes of one socket behind the layer.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) routes: Routes,
    pub(super) provider: &'static str,
    pub(super) engine: Arc<Engine>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
}

type Answer = Response<tonic::body::Body>;

impl Guard {
    /// Answers one call.
    pub(super) async fn answer(self, mut request: Request<Incoming>) -> Answer {
        if request.uri().path() != MOUNT {
            return self.route(request).await;
        }
        let allowed = request.headers_mut().remove(TIMEOUT).and_then(|value| parse_timeout(value.as_bytes()));
        let begun = Arc::new(AtomicBool::new(false));
        let deadline = self.clock.now() + time_for(allowed);
        request.extensions_mut().insert(Admission { deadline, begun: Arc::clone(&begun) });
        let response = self.route(request).await;
        match grpc_status(response.headers()) {
            Some(code) if !begun.load(Ordering::Relaxed) => self.refuse(code).await,
            Some(code) if !is_final(code) => self.replace().await,
            _ => {
                let metrics = self.metrics.clone();
                response.map(|inner| tonic::body::Body::new(FinalBody { inner, metrics }))
            }
        }
    }

    async fn route(&self, request: Request<Incoming>) -> Answer {
        let served = self.routes.clone().oneshot(request.map(tonic::body::Body::new));
        match AssertUnwindSafe(served).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => Status::new(Code::Unknown, "").into_http(),
        }
    }

    /// tonic answered by itself: the message is over its limit, compressed, or no `MountRequest`.
    async fn refuse(&self, code: Code) -> Answer {
        if !is_final(code) {
            self.metrics.code_replaced();
        }
        let problem = if matches!(code, Code::OutOfRange | Code::ResourceExhausted) {
            Problem::new(Reason::Invalid, "the request is larger than any class may be")
                .remedy("make the class smaller, or split it")
        } else if code == Code::Unknown {
            fault()
        } else {
            Problem::new(Reason::Invalid, "the request does not decode as a MountRequest")
        };
        status(&self.engine.outside(self.provider, problem).await).into_http()
    }

    /// The handler ran and yet the code is not one of ours: accounted for already, so only the code is mended.
    async fn replace(&self) -> Answer {
        self.metrics.code_replaced();
        status(&self.engine.outside(self.provider, fault()).await).into_http()
    }
}

fn fault() -> Problem {
    Problem::new(Reason::Bug, "the agent failed on this request by a fault of its own")
}

/// The time that a mount gets: always less than the caller waits, so that our answer is the one that counts
/// (kubelet gives 2 minutes, drivers up to 1.5 and the sync controller nothing).
fn time_for(allowed: Option<Duration>) -> Duration {
    match allowed {
        None => Duration::from_secs(45),
        Some(allowed) if allowed < Duration::from_secs(20) => allowed / 2,
        Some(allowed) => (allowed - Duration::from_secs(10)).min(Duration::from_secs(90)),
    }
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number = digits
        .iter()
        .try_fold(0u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// A body whose trailers carry a final code whatever the encoder meets.
struct FinalBody {
    inner: tonic::body::Body,
    metrics: Metrics,
}

impl Body for FinalBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let mut frame = frame?;
            if let Some(trailers) = frame.trailers_mut()
                && grpc_status(trailers).is_some_and(|code| !is_final(code))
            {
                self.metrics.code_replaced();
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("13"));
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

const MOUNT: &str = "/v1alpha1.CSIDriverProvider/Mount";
const TIMEOUT: &str = "grpc-timeout";
const GRPC_STATUS: &str = "grpc-status";

#[cfg(test)]
mod tests {
    use super::{parse_timeout, time_for};
    use std::time::Duration;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn our_deadline_is_earlier_than_the_callers() {
        for (allowed, ours) in
            [(s(120), s(90)), (s(95), s(85)), (s(20), s(10)), (s(19), s(19) / 2), (s(0), s(0))]
        {
            assert_eq!(time_for(Some(allowed)), ours, "{allowed:?}");
        }
        assert_eq!(time_for(None), s(45));
    }

    #[test]
    fn grpc_timeouts_are_read_in_every_unit() {
        for (text, value) in [
            ("1H", s(3600)),
            ("2M", s(120)),
            ("119S", s(119)),
            ("1m", Duration::from_millis(1)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("5n", Duration::from_nanos(5)),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), Some(value), "{text}");
        }
        for wrong in ["", "S", "1", "1x", "-1S", "123456789S", "1.5S"] {
            assert_eq!(parse_timeout(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
