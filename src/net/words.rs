//! What a person reads of a failure: our own words, the same each time.

use std::borrow::Cow;

use super::connect::Step;
use super::failure::{Distrust, Failure};
use crate::error::Reason;
use crate::model::Address;

/// Reason, what was wrong, what to do.
type Words = (Reason, Cow<'static, str>, &'static str);

/// The words for a failure at this address.
pub(super) fn of(failure: &Failure, address: &Address) -> Words {
    let (reason, what, remedy) = match failure {
        Failure::Untrusted(why) => certificate(*why),
        Failure::Guarded => {
            let what = format!("the name `{}` resolves to an address of the node's own", host(address));
            return (Reason::Policy, what.into(), NAME_IT);
        }
        Failure::Unknown => {
            let what = format!("the name `{}` does not resolve (DNS)", host(address));
            return (Reason::Unreachable, what.into(), NO_NAME);
        }
        Failure::Silent(Step::Looking) => {
            let what = format!("the name `{}` was not resolved in time (DNS)", host(address));
            return (Reason::Unreachable, what.into(), NO_NAME);
        }
        Failure::ProxyLost(inner) => return (Reason::Unreachable, proxy(inner, address), PROXY),
        Failure::TooLarge(bytes) => {
            let what = format!("its answer is larger than {bytes} bytes");
            return (Reason::TooLarge, what.into(), "ask for less at once");
        }
        Failure::Socket => {
            (Reason::Policy, "is a socket of this node, which only the configuration may name", NAME_IT)
        }
        Failure::Roots(_) => (Reason::Setup, "has no authorities to trust", ""),
        Failure::Spelling => (Reason::Bug, "the path is not spelled as it would go on the wire", ""),
        Failure::NotSent => (Reason::Timeout, "no time was left to ask", ""),
        Failure::Silent(Step::Dialling) => (Reason::Unreachable, "there was no connection in time", NO_WAY),
        Failure::Silent(Step::Shaking) => (Reason::Timeout, "the TLS handshake was not finished in time", ""),
        Failure::Refused => {
            (Reason::Unreachable, "the connection is refused", "see whether it runs, and listens there")
        }
        Failure::NoRoute => (Reason::Unreachable, "there is no way to it", NO_WAY),
        Failure::Lost(Step::Shaking) => (Reason::Unreachable, "it broke the TLS handshake off", ""),
        Failure::Lost(_) => (Reason::Unreachable, "it broke the connection off", ""),
        Failure::NotTls => {
            (Reason::Upstream, "it does not speak TLS", "write `http://`, or the port that speaks TLS")
        }
        Failure::TlsRefused => {
            (Reason::Unreachable, "no TLS that both sides accept was found", "let it speak TLS 1.2 or 1.3")
        }
        Failure::Certificate => (
            Reason::Unreachable,
            "it asked for a client certificate, which the agent has none of for it, and broke the connection off",
            SHOW_ONE,
        ),
        Failure::Proxy => (Reason::Unreachable, "the proxy does not connect to it", PROXY),
        Failure::NoHead => (Reason::Timeout, "it did not answer in time", ""),
        Failure::Broken => (Reason::Unreachable, "it broke the connection off without an answer", ""),
        Failure::NotHttp => (Reason::Upstream, "its answer is no HTTP", "see what listens at this port"),
        Failure::NoEnd => (Reason::Timeout, "its answer did not end in time", ""),
        Failure::Truncated => (Reason::Unreachable, "it broke its answer off", ""),
        Failure::NoRoom => (Reason::Busy, "too many large answers are being read at once", ""),
    };
    (reason, Cow::Borrowed(what), remedy)
}

const fn certificate(why: Distrust) -> (Reason, &'static str, &'static str) {
    let (what, remedy) = match why {
        Distrust::Issuer => (
            "its certificate is of an authority that is not trusted",
            "set `ca` of the store to the file of its authority",
        ),
        Distrust::Name => ("its certificate is for another name", "use a name that the certificate has"),
        Distrust::Time => ("its certificate is not valid now", "renew it, or set the clock of this node"),
        Distrust::Other => ("its certificate cannot be accepted", "renew it"),
    };
    (Reason::Unreachable, what, remedy)
}

/// The hop is the endpoint, so a name that stands for nothing must not be taken for the endpoint's.
fn proxy(inner: &Failure, address: &Address) -> Cow<'static, str> {
    let named = matches!(inner, Failure::Unknown | Failure::Silent(Step::Looking));
    let what = if named { "its name does not resolve (DNS)".into() } else { of(inner, address).1 };
    format!("the proxy on the way cannot be used: {what}").into()
}

fn host(address: &Address) -> String {
    match address {
        Address::Web { host, .. } => host.to_string(),
        Address::Unix(path) => path.display().to_string(),
    }
}

const NAME_IT: &str = "let the administrator configure this address, or list it in `policy.endpoints.allow`";
const NO_NAME: &str = "check the address, and the cluster's DNS";
const NO_WAY: &str = "check the address, and what may be reached from this node (NetworkPolicy, firewall)";
const SHOW_ONE: &str = "if it insists, set `clientCertificate` and `clientKey` of the store";
const PROXY: &str = "check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY";
