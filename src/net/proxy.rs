//! Which addresses are reached through a proxy. What is always direct: this machine, and services of the cluster.
//!
//! A proxy looks names up itself, so behind one nobody checks what a tenant's name stands for: what counts there is
//! that policy listed the name.

use std::net::IpAddr;

use url::{Host, Url};

use super::Config;
use crate::error::{Problem, Reason};
use crate::model::Address;

/// The administrator's proxies.
pub(super) struct Proxies {
    secure: Option<reqwest::Proxy>,
    plain: Option<reqwest::Proxy>,
    direct: Vec<Direct>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, PartialEq, Eq)]
enum Direct {
    All,
    /// A name, and every name below it.
    Name(String, Option<u16>),
    /// A network, by the number of bits that count.
    Net(IpAddr, u32, Option<u16>),
}

impl Proxies {
    pub(super) fn new(config: &Config) -> Result<Self, Problem> {
        let direct = config.no_proxy.iter().flat_map(|list| list.split([',', ' '])).filter_map(Direct::parse);
        Ok(Self {
            secure: proxy(config.https_proxy.as_deref(), "HTTPS_PROXY")?,
            plain: proxy(config.http_proxy.as_deref(), "HTTP_PROXY")?,
            direct: direct.collect(),
        })
    }

    /// The proxy on the way to an address.
    pub(super) fn on_the_way_to(&self, address: &Address) -> Option<&reqwest::Proxy> {
        let Address::Web { secure, host, port, .. } = address else { return None };
        let proxy = if *secure { &self.secure } else { &self.plain };
        proxy.as_ref().filter(|_| !is_here(host) && !self.direct.iter().any(|one| one.covers(host, *port)))
    }
}

fn proxy(text: Option<&str>, variable: &'static str) -> Result<Option<reqwest::Proxy>, Problem> {
    let Some(text) = text else { return Ok(None) };
    // Its text is not told: it may hold a password.
    let wrong = || {
        let problem = Problem::new(Reason::Setup, "is not the URL of a proxy").parameter(variable);
        problem.remedy("write `http://HOST:PORT` or `https://HOST:PORT`, or remove the variable")
    };
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    reqwest::Proxy::all(url).map(Some).map_err(|_| wrong())
}

/// This machine, and services of the cluster.
fn is_here(host: &Host<String>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            let below =
                |top: &str| name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            below("localhost") || below("svc") || below("svc.cluster.local")
        }
    }
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        match entry.as_str() {
            "" => return None,
            "*" => return Some(Self::All),
            _ => {}
        }
        if let Some((ip, bits)) = entry.split_once('/') {
            return Some(Self::Net(ip.parse().ok()?, bits.parse().ok()?, None));
        }
        if let Ok(ip) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Net(ip, 128, None));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name.to_owned(), Some(port.parse().ok()?)),
            None => (entry, None),
        };
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => Some(Self::Net(ip, 128, port)),
            Err(_) => Some(Self::Name(name.trim_start_matches("*.").trim_matches('.').to_owned(), port)),
        }
    }

    fn covers(&self, host: &Host<String>, at: u16) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(name, port), Host::Domain(host)) => {
                let rest = host.trim_end_matches('.').strip_suffix(name.as_str());
                port.is_none_or(|port| port == at)
                    && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Self::Net(IpAddr::V4(net), bits, port), Host::Ipv4(ip)) => {
                let away = 32_u32.saturating_sub(*bits);
                let differs = (net.to_bits() ^ ip.to_bits()).checked_shr(away).unwrap_or(0);
                port.is_none_or(|port| port == at) && differs == 0
            }
            (Self::Net(IpAddr::V6(net), bits, port), Host::Ipv6(ip)) => {
                let away = 128_u32.saturating_sub(*bits);
                let differs = (net.to_bits() ^ ip.to_bits()).checked_shr(away).unwrap_or(0);
                port.is_none_or(|port| port == at) && differs == 0
            }
            (Self::Name(..), Host::Ipv4(_) | Host::Ipv6(_))
            | (Self::Net(..), Host::Domain(_))
            | (Self::Net(IpAddr::V4(_), ..), Host::Ipv6(_))
            | (Self::Net(IpAddr::V6(_), ..), Host::Ipv4(_)) => false,
        }
    }
}
