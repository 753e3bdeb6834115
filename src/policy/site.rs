//! Endpoints as the administrator lists them. Compared with addresses that were parsed, never as text.

use url::Host;

use crate::model::Address;

/// `scheme://host[:port]`, in which a `*` stands for exactly one label of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    secure: bool,
    host: Host<String>,
    port: u16,
}

impl Site {
    /// The rule in words.
    pub const RULE: &'static str = "write `https://HOST[:PORT]` or `http://HOST[:PORT]`, without a path or a user; a \
                                    `*` stands for one whole label of the host";

    /// `None` where the text breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("://")?;
        // The parser of addresses drops what these lead to, or reads over them; here they are slips.
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\@?#%".contains(c)) {
            return None;
        }
        let Address::Web { secure, host, port, .. } = Address::parse(text)? else { return None };
        if let Host::Domain(name) = &host {
            let name = name.strip_suffix('.').unwrap_or(name);
            if !name.split('.').all(|label| label == "*" || (!label.is_empty() && !label.contains('*'))) {
                return None;
            }
        }
        Some(Self { secure, host, port })
    }

    /// Whether an address lies here. A `*` never stands for a piece of an IP address, and an address of IPv4 that is
    /// written as one of IPv6 is another.
    pub fn matches(&self, address: &Address) -> bool {
        let Address::Web { secure, host, port, .. } = address else { return false };
        *secure == self.secure
            && *port == self.port
            && match (&self.host, host) {
                (Host::Domain(pattern), Host::Domain(name)) => labels_match(pattern, name),
                (pattern, host) => pattern == host,
            }
    }

    /// The line that allows this address and no other; `None` where there is none.
    pub(super) fn line(address: &Address) -> Option<String> {
        let text = address.site();
        let exact = !text.contains('*') && Self::parse(&text).is_some_and(|site| site.matches(address));
        exact.then_some(text)
    }
}

fn labels_match(pattern: &str, name: &str) -> bool {
    let mut labels = name.split('.');
    // A name with a `*` of its own is nobody's: it would be looked up as it is.
    let fits = pattern.split('.').all(|wanted| {
        labels.next().is_some_and(|label| {
            if wanted == "*" { !label.is_empty() && !label.contains('*') } else { wanted == label }
        })
    });
    fits && labels.next().is_none()
}
