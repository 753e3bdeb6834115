//! Names and the addresses that they stand for, judged at the very lookup that a connection is made with: there is no
//! second lookup, so no name can change its mind between the check and the connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::Host;

use super::connect::{Step, enter};
use super::failure::Failure;
use crate::model::endpoint::is_guarded;

/// Who knows the addresses of names: the system, unless a test brings its own.
#[derive(Clone)]
pub struct Names {
    ask: Arc<Ask>,
    turns: Arc<Semaphore>,
}

type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

impl Names {
    /// Lookups at once. A lookup blocks a thread for as long as the system's resolver likes, and cannot be called back.
    const TURNS: usize = 32;

    /// Asks this function, which may block.
    pub fn of(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), turns: Arc::new(Semaphore::new(Self::TURNS)) }
    }

    async fn look_up(&self, name: String) -> Result<Vec<IpAddr>, Failure> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Failure::Unknown)?;
        let ask = Arc::clone(&self.ask);
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ask(&name)
        });
        match asked.await {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Ok(_) | Err(_) => Err(Failure::Unknown),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::of(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// The resolver of one pool.
pub(super) struct Guard {
    pub(super) names: Names,
    /// Whether addresses of the node's own are left out.
    pub(super) guarded: bool,
    /// Whose addresses every name stands for: the URL has the name that TLS asks for.
    pub(super) host: Option<Host<String>>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, guarded, host) = (self.names.clone(), self.guarded, self.host.clone());
        Box::pin(async move {
            enter(Step::Looking);
            // A literal address is policy's to judge, and was.
            let literal = matches!(host, Some(Host::Ipv4(_) | Host::Ipv6(_)));
            let mut found = match host {
                None => names.look_up(name.as_str().to_owned()).await?,
                Some(Host::Domain(host)) => names.look_up(host).await?,
                Some(Host::Ipv4(ip)) => vec![ip.into()],
                Some(Host::Ipv6(ip)) => vec![ip.into()],
            };
            if guarded && !literal {
                found.retain(|ip| !is_guarded(*ip));
                if found.is_empty() {
                    return Err(Failure::Guarded.into());
                }
            }
            enter(Step::Dialling);
            // Port 0 stands for the one of the URL.
            let found: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(found)
        })
    }
}
