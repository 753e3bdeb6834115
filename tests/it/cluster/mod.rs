//! The API server of the agent's own cluster, played by the test kit: what it is asked, what becomes of its answers, and
//! what the agent does with them.

mod agent;
mod api;
mod key;
mod rights;
mod settings;
mod token;
mod versions;

use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::cluster::{Cluster, Config};
use latchkey::error::Fault;
use latchkey::model::{AccountName, Address, Audience, Namespace, Pod, PodName, PodUid, Subject, Token};
use latchkey::net;
use latchkey::telemetry::Metrics;

use api::ApiServer;

const UID: &str = "00000000-0000-4000-8000-000000000001";

/// A client of this API server, or of the one at another address.
fn client(api: &ApiServer, clock: Clock, address: Option<Address>) -> Cluster {
    over(api, clock, address, net::Config::default())
}

/// The same over a stack that is set up so.
fn over(api: &ApiServer, clock: Clock, address: Option<Address>, net: net::Config) -> Cluster {
    let config = Config { address, credentials: api.credentials(), token_request: true };
    Cluster::new(&config, net, clock, Metrics::new("1", false, clock)).unwrap()
}

fn here(api: &ApiServer, clock: Clock) -> Cluster {
    client(api, clock, Some(api.kit.address()))
}

/// Pod `web-0` of service account `shop/web`.
fn web() -> (Subject, Pod) {
    let pod = Pod { name: PodName::parse("web-0").unwrap(), uid: PodUid::parse(UID).unwrap() };
    let (namespace, account) = (Namespace::parse("shop").unwrap(), AccountName::parse("web").unwrap());
    (Subject { namespace, account, pod: Some(pod.clone()) }, pod)
}

/// Asks for a token of [`web`] for audience `vault`.
async fn ask(cluster: &Cluster, clock: Clock) -> Result<Token, Fault> {
    let (subject, pod) = web();
    cluster.token(&subject, &pod, &Audience::new("vault"), clock.now() + Duration::from_secs(60)).await
}
