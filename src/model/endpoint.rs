//! Where a store is, and whose word that is. An address is compared after it was parsed, never as text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use url::{Host, Url};

/// An address, whose word it is, and how its TLS is checked: everything that a pool of connections, a budget and a
/// breaker are kept by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// Who says so.
    pub origin: Origin,
    /// How its certificate is checked.
    pub tls: Tls,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Whose word an address is, which says how far it is trusted (`SECURITY.md`, "Where a class may lead").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The configuration, the environment or the command line: used as it is, loopback and sockets included.
    Administrator,
    /// A public host that we construct ourselves.
    Builtin,
    /// Any text of a class or of volumeAttributes: only where policy lists it, and never to an address of the node's own
    /// unless that very address is listed.
    Tenant,
}

/// How the TLS of an endpoint is spoken. Files are the administrator's, and are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tls {
    /// The authorities that are trusted, in place of the system's.
    pub ca: Option<Ca>,
    /// The name that is asked for, and that the certificate must have, in place of the address's host: as
    /// [`Tls::name`] makes it.
    pub name: Option<Box<str>>,
    /// What we show for ourselves.
    pub client: Option<Box<Client>>,
    /// Believe any certificate: only where policy lists the endpoint.
    pub skip_verify: bool,
}

/// Authorities.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ca {
    /// A PEM file, or a folder of which every file is one.
    Path(PathBuf),
    /// The PEM itself.
    Pem(Box<str>),
}

/// A client's certificate and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Ca {
    /// What a PEM of authorities must be, for errors.
    pub const RULE: &'static str =
        "write one certificate or more in PEM, from `-----BEGIN CERTIFICATE-----` on, 64 KiB at most";

    /// Authorities that are spelled out; `None` where the text does not look like that, or is very long.
    pub fn pem(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.starts_with("-----BEGIN CERTIFICATE-----") && text.len() <= PEM_BYTES_MAX)
            .then(|| Self::Pem(text.into()))
    }
}

impl<P: Into<PathBuf>> From<P> for Ca {
    fn from(path: P) -> Self {
        Self::Path(path.into())
    }
}

/// Some forty certificates.
const PEM_BYTES_MAX: usize = 64 << 10;

impl Tls {
    /// What a name must be, for errors.
    pub const NAME_RULE: &'static str = "write a DNS name, without a port";

    /// A name as TLS asks for it; `None` where the text is no DNS name. An IP address is none: it would be connected to.
    pub fn name(text: &str) -> Option<Box<str>> {
        match Host::parse(text).ok()? {
            Host::Domain(name) if !name.is_empty() && name.len() <= 253 => Some(name.into()),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// The file or folder of the authorities, where they are in one.
    pub fn authorities(&self) -> Option<&Path> {
        match self.ca.as_ref()? {
            Ca::Path(path) => Some(path),
            Ca::Pem(_) => None,
        }
    }

    /// The files of the agent's own that it takes.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|client| [&client.certificate, &client.key]);
        self.authorities().into_iter().chain(client.map(PathBuf::as_path))
    }
}

/// An address, parsed: user information, query and fragment are dropped, and the path has no slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `https://` or `http://`.
    Web {
        /// Whether it is `https`.
        secure: bool,
        /// A name in lower case (IDNA in its ASCII form), or a literal address.
        host: Host<String>,
        /// The port, written or not.
        port: u16,
        /// What stands before every path: empty, or `/` and more.
        base: Box<str>,
    },
    /// `unix://` and the path of a socket.
    Unix(Box<Path>),
}

impl Address {
    /// What an address looks like, for errors.
    pub const RULE: &'static str = "`https://HOST[:PORT][/PATH]`, `http://…` or `unix:///PATH`";

    /// What a class may write of it, for errors: sockets are the administrator's.
    pub const TENANT_RULE: &'static str =
        "`https://HOST[:PORT][/PATH]` or `http://…`, without a user and white space";

    /// `None` where it is none of the three forms.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(Path::new(path).into()));
        }
        let url = Url::parse(text).ok()?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host()?.to_owned();
        let port = url.port_or_known_default()?;
        Some(Self::Web { secure, host, port, base: url.path().trim_end_matches('/').into() })
    }

    /// Its literal IP address, where the host is one.
    pub fn literal(&self) -> Option<IpAddr> {
        match self {
            Self::Web { host: Host::Ipv4(ip), .. } => Some(IpAddr::V4(*ip)),
            Self::Web { host: Host::Ipv6(ip), .. } => Some(IpAddr::V6(*ip)),
            Self::Web { host: Host::Domain(_), .. } | Self::Unix(_) => None,
        }
    }

    /// The name that TLS asks for here, where that is not the host's own.
    pub fn renamed<'a>(&self, tls: &'a Tls) -> Option<&'a str> {
        match self {
            Self::Web { secure: true, .. } => tls.name.as_deref(),
            Self::Web { secure: false, .. } | Self::Unix(_) => None,
        }
    }

    /// `scheme://host[:port]`, without a path: what policy lists.
    pub fn site(&self) -> String {
        match self {
            Self::Web { secure, host, port, .. } => {
                let (scheme, usual) = if *secure { ("https", 443) } else { ("http", 80) };
                if *port == usual {
                    format!("{scheme}://{host}")
                } else {
                    format!("{scheme}://{host}:{port}")
                }
            }
            Self::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.site())?;
        match self {
            Self::Web { base, .. } => f.write_str(base),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// Whether an address belongs to the node itself or to its surroundings, where no tenant's word may lead: loopback,
/// unspecified, link-local, multicast, broadcast, and the metadata services that stand elsewhere.
pub fn is_guarded(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => guarded_v4(ip),
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            let mapped = ip.to_ipv4().or_else(|| {
                // NAT64 (RFC 6052, and a network's own prefix of RFC 8215) carries an IPv4 address in its last 32 bits.
                let [.., high, low] = segments;
                (segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] || segments[..3] == [0x64, 0xff9b, 1])
                    .then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
            });
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || segments[0] & 0xffc0 == 0xfe80
                || METADATA_V6.contains(&ip)
                || mapped.is_some_and(guarded_v4)
        }
    }
}

fn guarded_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback()
        || ip.octets()[0] == 0
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || METADATA_V4.contains(&ip)
}

/// Metadata services outside 169.254.0.0/16: Alibaba's, Oracle's old one, Azure's wire server.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

/// AWS's metadata service and Pod Identity agent, Google's metadata service, Scaleway's.
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];
