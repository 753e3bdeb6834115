//! Everything that an attempt can fail with, told apart by the types of the libraries' errors and never by their texts,
//! which may quote what was sent. This is the one place that says which failures are worth another attempt, and which
//! are doubtful.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

use super::connect::Step;
use super::words;
use crate::error::{Fault, Problem, Retry};
use crate::model::Address;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A tenant's word may not lead to a socket.
    Socket,
    /// A tenant's name leads to the node itself.
    Guarded,
    /// The authorities cannot be had.
    Roots(Problem),
    /// The path is not spelled as it would be on the wire.
    Spelling,
    /// The time was over before anything was sent.
    NotSent,
    /// The name has no address.
    Unknown,
    /// A step on the way to a connection took too long.
    Silent(Step),
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    NoRoute,
    /// The connection was lost before the request was sent.
    Lost(Step),
    /// The certificate.
    Untrusted(Distrust),
    /// It speaks something else than TLS.
    NotTls,
    /// It speaks TLS and refuses ours.
    TlsRefused,
    /// It asked for a certificate of ours, was shown none, and broke off.
    Certificate,
    /// The proxy does not connect us.
    Proxy,
    /// The proxy's own connection failed.
    ProxyLost(Box<Self>),
    /// The time was over before the headers.
    NoHead,
    /// The connection ended before the headers.
    Broken,
    /// It is no HTTP.
    NotHttp,
    /// The time was over in the body.
    NoEnd,
    /// The body did not come whole.
    Truncated,
    /// The body is larger than this.
    TooLarge(usize),
    /// There is no room for the body.
    NoRoom,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    Issuer,
    Name,
    Time,
    Other,
}

impl Failure {
    /// What became of a connection that was to be made; `step` is how far it came.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what the system may say is a long list, and grows")]
    pub(super) fn connecting(error: &(dyn Error + 'static), step: Step, proxied: bool) -> Self {
        let failure = if let Some(ours) = find::<Self>(error) {
            ours.clone()
        } else if let Some(error) = find::<rustls::Error>(error) {
            return Self::tls(error);
        } else if let Some(error) = find::<io::Error>(error) {
            match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => Self::Refused,
                ErrorKind::TimedOut => Self::Silent(step),
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => Self::Lost(step),
                _ => Self::NoRoute,
            }
        } else if proxied {
            return Self::Proxy;
        } else {
            Self::Lost(step)
        };
        // What follows a tunnel is the endpoint's own; what comes before it is the proxy's.
        if proxied && step != Step::Shaking { Self::ProxyLost(Box::new(failure)) } else { failure }
    }

    /// What became of a request.
    pub(super) fn sent(error: &reqwest::Error) -> Self {
        if let Some(ours) = find::<Self>(error) {
            return ours.clone();
        }
        match find::<hyper::Error>(error) {
            Some(error) if error.is_parse() => Self::NotHttp,
            _ => Self::Broken,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list grows")]
    fn tls(error: &rustls::Error) -> Self {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidCertificate(why) => Self::Untrusted(match why {
                // A bad signature: of another authority that has the same name, as after a rotation.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::Issuer,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Distrust::Name
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Distrust::Time,
                _ => Distrust::Other,
            }),
            Tls::InvalidMessage(_) => Self::NotTls,
            _ => Self::TlsRefused,
        }
    }

    /// The word in figures.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Socket | Self::Guarded => "policy",
            Self::Roots(_) | Self::Spelling => "setup",
            Self::Unknown | Self::Silent(Step::Looking) => "dns",
            Self::Refused | Self::NoRoute | Self::Lost(Step::Looking | Step::Dialling) => "connect",
            Self::Silent(_) | Self::NotSent | Self::NoHead | Self::NoEnd => "timeout",
            Self::Untrusted(_)
            | Self::NotTls
            | Self::TlsRefused
            | Self::Certificate
            | Self::Lost(Step::Shaking) => "tls",
            Self::Proxy | Self::ProxyLost(_) => "proxy",
            Self::Broken | Self::Truncated => "reset",
            Self::NotHttp => "garbage",
            Self::TooLarge(_) => "too_large",
            Self::NoRoom => "busy",
        }
    }

    /// Whether the request may have been heard, and no whole answer says what became of it.
    fn is_doubtful(&self) -> bool {
        matches!(
            self,
            Self::NoHead
                | Self::Broken
                | Self::Certificate
                | Self::NotHttp
                | Self::NoEnd
                | Self::Truncated
                | Self::TooLarge(_)
                | Self::NoRoom
        )
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Socket
            | Self::Guarded
            | Self::Roots(_)
            | Self::Spelling
            | Self::Untrusted(_)
            | Self::TooLarge(_) => Retry::Never,
            Self::ProxyLost(inner) => inner.retry(),
            Self::NotSent
            | Self::Unknown
            | Self::Silent(_)
            | Self::Refused
            | Self::NoRoute
            | Self::Lost(_)
            | Self::NotTls
            | Self::TlsRefused
            | Self::Certificate
            | Self::Proxy
            | Self::NoHead
            | Self::Broken
            | Self::NotHttp
            | Self::NoEnd
            | Self::Truncated
            | Self::NoRoom => Retry::Backoff,
        }
    }

    /// For the engine and for a person.
    pub(super) fn fault(self, address: &Address) -> Fault {
        let (retry, doubtful) = (self.retry(), self.is_doubtful());
        Fault { problem: self.problem(address), retry, doubtful, answered: false }
    }

    fn problem(self, address: &Address) -> Problem {
        if let Self::Roots(problem) = self {
            return problem;
        }
        let (reason, what, remedy) = words::of(&self, address);
        Problem::new(reason, what).remedy(remedy).hop(address.site())
    }
}

impl fmt::Display for Failure {
    /// For libraries that carry it: they may log it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Error for Failure {}

/// An error of this type in the chain of causes. An IO error hides the one that it was made of from `source`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            // The innermost IO error is the system's own.
            let inner = |io: &'a io::Error| io.get_ref().and_then(|inner| find::<E>(inner));
            return (error as &dyn Error).downcast_ref::<io::Error>().and_then(inner).or(Some(found));
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
