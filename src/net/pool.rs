//! Pools of connections: one client for each scheme, host and port, TLS settings, and way of judging addresses. Made
//! when it is first needed, made anew when its authorities change, forgotten when many others were used since.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use url::Host;

use super::asked::Asked;
use super::connect::Bounds;
use super::failure::Failure;
use super::names::{Guard, Names};
use super::proxy::Proxies;
use super::roots::{Roots, Trust};
use super::{Config, Limits};
use crate::clock::Clock;
use crate::error::{Problem, Reason};
use crate::model::{Address, Endpoint, Origin, Tls};
use crate::telemetry::Metrics;

/// All of them.
pub(super) struct Pools {
    clock: Clock,
    limits: Limits,
    names: Names,
    proxies: Proxies,
    roots: Roots,
    /// The one that was used last stands last.
    pools: Mutex<Vec<Pool>>,
}

struct Pool {
    address: Address,
    tls: Tls,
    guarded: bool,
    /// Of which authorities it was made.
    version: u64,
    client: reqwest::Client,
    asked: Arc<Asked>,
}

impl Pools {
    pub(super) fn new(config: Config, clock: Clock, metrics: Metrics) -> Result<Self, Problem> {
        Ok(Self {
            clock,
            limits: config.limits,
            proxies: Proxies::new(&config)?,
            names: config.names,
            roots: Roots::new(config.ca, clock, metrics),
            pools: Mutex::default(),
        })
    }

    /// The client for an endpoint. The literal address of a tenant is policy's to judge, and was; a name is judged when
    /// it is looked up.
    pub(super) async fn client(&self, endpoint: &Endpoint) -> Result<(reqwest::Client, Arc<Asked>), Failure> {
        let tenant = endpoint.origin == Origin::Tenant;
        if tenant && matches!(endpoint.address, Address::Unix(_)) {
            return Err(Failure::Socket);
        }
        let proxy = self.proxies.on_the_way_to(&endpoint.address);
        let guarded = tenant && proxy.is_none();
        let trust = self.roots.trust(&endpoint.address, &endpoint.tls).await?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pools.iter().position(|pool| pool.is_for(endpoint, guarded));
        let pool = match at.map(|at| pools.remove(at)).filter(|pool| pool.version == trust.version) {
            Some(pool) => pool,
            None => {
                let asked = Arc::<Asked>::default();
                Pool {
                    address: without_base(&endpoint.address),
                    tls: endpoint.tls.clone(),
                    guarded,
                    version: trust.version,
                    client: self.make(endpoint, guarded, proxy, &trust, &asked)?,
                    asked,
                }
            }
        };
        let client = (pool.client.clone(), Arc::clone(&pool.asked));
        if pools.len() >= POOLS {
            pools.remove(0);
        }
        pools.push(pool);
        Ok(client)
    }

    fn make(
        &self,
        Endpoint { address, tls, .. }: &Endpoint,
        guarded: bool,
        proxy: Option<&reqwest::Proxy>,
        trust: &Trust,
        asked: &Arc<Asked>,
    ) -> Result<reqwest::Client, Failure> {
        let host = match (address.renamed(tls), address) {
            (Some(_), Address::Web { host, .. }) => Some(host.clone()),
            (None, _) | (_, Address::Unix(_)) => None,
        };
        if host.is_some() && proxy.is_some() {
            let what = "has a TLS server name of its own, which cannot be asked for through a proxy";
            let remedy = "name the host in NO_PROXY, or use an address that the certificate has";
            return Err(Failure::Roots(Problem::new(Reason::Setup, what).hop(address.site()).remedy(remedy)));
        }
        let mut config = (*trust.config).clone();
        if tls.client.is_none() {
            config.client_auth_cert_resolver = Arc::<Asked>::clone(asked);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("latchkey/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .tls_backend_preconfigured(config)
            .dns_resolver(Guard { names: self.names.clone(), guarded, host })
            .connector_layer(Bounds { clock: self.clock, limits: self.limits, proxied: proxy.is_some() })
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(IDLE_FOR)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_user_timeout(UNHEARD)
            .http2_keep_alive_interval(UNHEARD)
            .http2_keep_alive_timeout(UNHEARD);
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.clone());
        }
        if let Address::Unix(path) = address {
            builder = builder.unix_socket(&**path);
        }
        builder.build().map_err(|_| {
            Failure::Roots(Problem::new(Reason::Setup, "the HTTP client cannot be made").hop(address.site()))
        })
    }
}

impl Pool {
    fn is_for(&self, endpoint: &Endpoint, guarded: bool) -> bool {
        self.guarded == guarded && self.tls == endpoint.tls && same_site(&self.address, &endpoint.address)
    }
}

fn same_site(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (
            Address::Web { secure, host, port, base: _ },
            Address::Web { secure: other_secure, host: other_host, port: other_port, base: _ },
        ) => (secure, port, host) == (other_secure, other_port, other_host),
        (Address::Unix(one), Address::Unix(other)) => one == other,
        (Address::Web { .. }, Address::Unix(_)) | (Address::Unix(_), Address::Web { .. }) => false,
    }
}

fn without_base(address: &Address) -> Address {
    match address {
        Address::Web { secure, host, port, base: _ } => {
            let host: Host<String> = host.clone();
            Address::Web { secure: *secure, host, port: *port, base: "".into() }
        }
        Address::Unix(path) => Address::Unix(path.clone()),
    }
}

/// Most pools: more than a node's pods name endpoints.
const POOLS: usize = 64;
/// Most idle connections of a pool: as many as may be in flight.
const IDLE: usize = 32;
/// Longer than the minute after which the driver calls again.
const IDLE_FOR: Duration = Duration::from_secs(90);
/// How often a silent connection is felt for.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After which a peer that confirms nothing counts as gone: what was asked then fails, and a new connection is made.
const UNHEARD: Duration = Duration::from_secs(10);
