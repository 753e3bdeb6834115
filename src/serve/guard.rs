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
use crate::engine::{self, Engine};
use crate::error::{Problem, Reason};
use crate::room::Claim;
use crate::telemetry::Metrics;

/// What the layer tells the handler of a mount.
#[derive(Clone)]
pub(super) struct Admission {
    /// Until when it must answer.
    pub(super) deadline: Instant,
    /// Set once the engine has it, and will account for it.
    pub(super) begun: Arc<AtomicBool>,
}

/// The room that an answer takes, from the handler to the socket: given back when the last byte has been written, or
/// with the connection.
#[derive(Clone)]
pub(super) struct Held {
    _claims: Arc<[Claim]>,
}

impl Held {
    pub(super) fn new(claims: Vec<Claim>) -> Self {
        Self { _claims: claims.into() }
    }
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
            return self
                .route(request)
                .await
                .unwrap_or_else(|()| Status::new(Code::Internal, "").into_http());
        }
        let allowed = request.headers_mut().remove(TIMEOUT).and_then(|value| parse_timeout(value.as_bytes()));
        let begun = Arc::new(AtomicBool::new(false));
        let deadline = self.clock.now() + time_for(allowed);
        request.extensions_mut().insert(Admission { deadline, begun: Arc::clone(&begun) });
        // Once the engine has the mount, its end is the engine's: this is for a request that still comes in. Asked
        // after the route has had its first turn, so that a request which came whole costs no timer.
        let overdue = async {
            if !begun.load(Ordering::Relaxed) {
                let problem = tokio::select! {
                    () = self.clock.sleep_until(deadline) => {
                        Problem::new(Reason::Timeout, "the request did not arrive within its time")
                    }
                    () = self.engine.closing() => engine::stopping(),
                };
                if !begun.load(Ordering::Relaxed) {
                    return problem;
                }
            }
            std::future::pending().await
        };
        let routed = tokio::select! {
            biased;
            routed = self.route(request) => routed,
            problem = overdue => return self.refuse(problem).await,
        };
        let Ok(response) = routed else { return self.refuse(engine::bug()).await };
        match grpc_status(response.headers()) {
            Some(code) if !begun.load(Ordering::Relaxed) => {
                if !is_final(code) {
                    self.metrics.code_replaced();
                }
                self.refuse(undecoded(code)).await
            }
            // The engine has accounted for it: only the code is mended.
            Some(code) if !is_final(code) => {
                self.metrics.code_replaced();
                status(&engine::bug().into()).into_http()
            }
            _ => {
                let metrics = self.metrics.clone();
                let (mut parts, inner) = response.into_parts();
                let held = parts.extensions.remove::<Held>();
                Response::from_parts(parts, tonic::body::Body::new(FinalBody { inner, metrics, held }))
            }
        }
    }

    /// Answers by the route; `Err` where that panicked.
    async fn route(&self, request: Request<Incoming>) -> Result<Answer, ()> {
        let served = self.routes.clone().oneshot(request.map(tonic::body::Body::new));
        match AssertUnwindSafe(served).catch_unwind().await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(never)) => match never {},
            Err(_) => Err(()),
        }
    }

    /// Answers, and accounts for, a mount that never reached the engine.
    async fn refuse(&self, problem: Problem) -> Answer {
        status(&self.engine.refuse(self.provider, problem).await).into_http()
    }
}

/// Why tonic answered by itself: the message is over its limit, compressed, cut off, or no `MountRequest`.
fn undecoded(code: Code) -> Problem {
    if matches!(code, Code::OutOfRange | Code::ResourceExhausted) {
        Problem::new(Reason::Invalid, "the request is larger than any class may be")
            .remedy("make the class smaller, or split it")
    } else {
        Problem::new(
            Reason::Invalid,
            "the request does not decode as a MountRequest, or did not arrive whole",
        )
    }
}

/// The time that a mount gets: always less than the caller waits, so that our answer is the one that counts.
fn time_for(allowed: Option<Duration>) -> Duration {
    match allowed {
        None => TIME_UNTOLD,
        Some(allowed) if allowed < ALLOWED_SHORT => allowed / 2,
        Some(allowed) => (allowed - MARGIN).min(TIME_MAX),
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

/// A body whose trailers carry a final code whatever the encoder meets, and whose bytes hold their room.
struct FinalBody {
    inner: tonic::body::Body,
    metrics: Metrics,
    held: Option<Held>,
}

/// Bytes that wait to be written, with the room that they take.
struct Unwritten {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
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
                trailers.insert(GRPC_STATUS, HeaderValue::from(i32::from(Code::Internal)));
            }
            Ok(match &self.held {
                Some(held) => {
                    frame.map_data(|bytes| Bytes::from_owner(Unwritten { bytes, _held: held.clone() }))
                }
                None => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a mount gets whose caller names no limit, as drivers up to 1.5 and the sync controller do: half of what a
/// single stuck worker of theirs should cost.
pub const TIME_UNTOLD: Duration = Duration::from_secs(45);
/// The longest that any mount gets. Kubelet allows 2 minutes and hands on what is left of them.
const TIME_MAX: Duration = Duration::from_secs(90);
/// How much earlier than the caller's limit we answer.
const MARGIN: Duration = Duration::from_secs(10);
/// Below this the margin would eat most of the time, and half of it has to do.
const ALLOWED_SHORT: Duration = Duration::from_secs(20);

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
