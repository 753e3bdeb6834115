//! The HTTP stack against the testkit: what goes over the wire, and what becomes of everything that goes wrong.

mod bounds;
mod broken;
mod guarded;
mod packed;
mod proxies;
mod trust;
mod wire;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use latchkey::clock::Clock;
use latchkey::error::{Fault, Reason, Retry};
use latchkey::model::{Endpoint, Origin, StoreName};
use latchkey::net::{Config, Names, Net, Reply, Request};
use latchkey::room::{Claim, Room};
use latchkey::secret::Secret;
use latchkey::telemetry::Metrics;

/// In every header and body that is sent, and in no text that comes back.
const CANARY: &str = "canary-9f27b3e1";

/// A stack with its figures.
struct Stack {
    net: Net,
    metrics: Metrics,
    clock: Clock,
    room: Room,
}

fn stack(clock: Clock, config: Config) -> Stack {
    let metrics = Metrics::new("1", false, clock);
    let net = Net::new(config, clock, metrics.clone()).unwrap();
    Stack { net, metrics, clock, room: Room::new(16 << 20) }
}

/// With the system's time.
fn now(config: Config) -> Stack {
    stack(Clock::system(), config)
}

impl Stack {
    async fn get(&self, endpoint: &Endpoint, path: &str) -> Result<Reply, Fault> {
        self.ask(endpoint, Method::GET, path, &self.room.claim(), Duration::from_secs(60)).await
    }

    async fn within(&self, endpoint: &Endpoint, span: Duration) -> Result<Reply, Fault> {
        self.ask(endpoint, Method::POST, "/v1/x", &self.room.claim(), span).await
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        claim: &Claim,
        span: Duration,
    ) -> Result<Reply, Fault> {
        let store = StoreName::parse("vault").unwrap();
        let mut token = HeaderValue::from_static(CANARY);
        token.set_sensitive(true);
        let headers = [(HeaderName::from_static("x-vault-token"), token)];
        let body = Secret::from_text(format!(r#"{{"jwt":"{CANARY}"}}"#));
        let body = (method == Method::POST).then_some(&body);
        let request = Request { store: &store, operation: "read", method, path, headers: &headers, body };
        let outcome = self.net.send(endpoint, request, claim, self.clock.now() + span).await;
        if let Err(fault) = &outcome {
            assert!(!format!("{fault:?} {}", fault.problem).contains("canary"), "{fault:?}");
        }
        outcome
    }

    /// How often this came of a request.
    fn counted(&self, code: &str) -> u64 {
        let start =
            format!(r#"latchkey_backend_requests_total{{store="vault",operation="read",code="{code}"}} "#);
        let text = self.metrics.encode();
        text.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
    }
}

/// Every name is loopback.
fn loopback() -> Config {
    Config { names: Names::of(|_| Ok(vec!["127.0.0.1".parse().unwrap()])), ..Config::default() }
}

/// What a fault must be; its text is returned.
fn is(outcome: Result<Reply, Fault>, reason: Reason, retry: Retry, doubtful: bool) -> String {
    let fault = outcome.err().expect("a fault");
    assert_eq!(
        (fault.problem.reason, fault.retry, fault.doubtful),
        (reason, retry, doubtful),
        "{}",
        fault.problem
    );
    fault.problem.to_string()
}

fn administrators(text: &str) -> Endpoint {
    let address = latchkey::model::Address::parse(text).expect("an address");
    Endpoint { address, origin: Origin::Administrator, tls: latchkey::model::Tls::default() }
}
