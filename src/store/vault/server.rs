//! One request to a server, and the one redirect that is followed.

use http::header::{HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method};
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Fault, Problem, Reason};
use crate::model::locator::vault::Access;
use crate::model::{Address, Endpoint};
use crate::net::{Net, Reply, Request};
use crate::secret::Secret;
use crate::store::{Cx, Session};
use crate::text::short;

/// The server of an access, during one operation.
pub(super) struct Server<'a> {
    pub(super) net: &'a Net,
    pub(super) cx: &'a Cx,
    pub(super) access: &'a Access,
}

/// What is sent.
pub(super) struct Asked<'a> {
    /// What for, in figures.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// As it goes on the wire behind the path that the endpoint may have, with the query.
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Secret>,
}

impl Server<'_> {
    /// Sends a request, and sends it again where the first answer leads to another path of the same origin. The method and
    /// the body stay what they are, and so does the server: a redirect cannot lead a token away.
    pub(super) async fn exchange(&self, session: Option<&Session>, asked: Asked<'_>) -> Result<Reply, Fault> {
        let headers = headers(&self.access.namespace, session).map_err(|problem| self.never(problem))?;
        let endpoint = &self.access.endpoint;
        let send = async |path: &str| {
            let request = Request {
                store: &self.access.store,
                operation: asked.operation,
                method: asked.method.clone(),
                path,
                headers: &headers,
                body: asked.body,
            };
            self.net.send(endpoint, request, &self.cx.claim, self.cx.deadline).await
        };
        let mut reply = send(asked.path).await?;
        if let 307 | 308 = reply.status
            && let Some(there) = target(endpoint, asked.path, &reply.headers)
        {
            reply = send(&there).await?;
        }
        match reply.status {
            // That something has not changed is no redirect, and no answer to what was asked.
            300..=303 | 305..=399 => Err(self.never(refused(&reply))),
            _ => Ok(reply),
        }
    }

    /// A failure that the server answered for, and that is this request's alone.
    pub(super) fn never(&self, problem: Problem) -> Fault {
        let problem = problem.hop(self.access.endpoint.address.site());
        Fault { answered: true, ..Fault::never(problem) }
    }
}

/// What a session keeps: its token, and behind a line break where the server's state stood at the login, which a standby
/// must have caught up with before it knows the token.
pub(super) fn credential(token: &str, headers: &HeaderMap) -> Secret {
    let index = headers.get(INDEX).map(HeaderValue::as_bytes).filter(|index| !index.is_empty());
    let index = index.unwrap_or_default();
    let mut both = Zeroizing::new(Vec::with_capacity(token.len() + 1 + index.len()));
    both.extend_from_slice(token.as_bytes());
    if !index.is_empty() {
        both.push(b'\n');
        both.extend_from_slice(index);
    }
    Secret::new(both)
}

fn headers(namespace: &str, session: Option<&Session>) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let mut headers = Vec::with_capacity(4);
    // Agents and proxies of these servers may insist on it, as a guard against forged requests.
    headers.push((HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true")));
    if !namespace.is_empty() {
        let value = HeaderValue::from_bytes(namespace.as_bytes()).map_err(|_| {
            let what = format!("the namespace `{}` has characters that no namespace has", short(namespace));
            Problem::new(Reason::Invalid, what).remedy("correct the namespace")
        })?;
        headers.push((HeaderName::from_static("x-vault-namespace"), value));
    }
    if let Some(session) = session {
        let mut token = session.credential.share();
        let index = token.iter().position(|b| *b == b'\n').map(|end| token.split_off(end).slice(1..));
        let named = [(HeaderName::from_static("x-vault-token"), Some(token)), (INDEX, index)];
        for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let mut value = HeaderValue::from_maybe_shared(value)
                .map_err(|_| Problem::new(Reason::Bug, "a session is kept whose token no header can hold"))?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
    }
    Ok(headers)
}

const INDEX: HeaderName = HeaderName::from_static("x-vault-index");

/// The path below the endpoint that a redirect leads to, where it stays at the endpoint.
fn target(endpoint: &Endpoint, path: &str, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let (site, base) = match &endpoint.address {
        Address::Web { base, .. } => (endpoint.address.site(), &**base),
        // The name by which a socket's server is spoken to.
        Address::Unix(_) => ("http://localhost".to_owned(), ""),
    };
    let here = Url::parse(&format!("{site}{base}{path}")).ok()?;
    let there = here.join(location).ok()?;
    let below = there.path().strip_prefix(base).filter(|below| below.starts_with('/'))?;
    let query = there.query().map_or_else(String::new, |query| format!("?{query}"));
    (there.origin() == here.origin()).then(|| format!("{below}{query}"))
}

fn refused(reply: &Reply) -> Problem {
    let location = reply.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let site = location.and_then(Address::parse).map(|address| address.site());
    let to = site.map_or_else(String::new, |site| format!(" to `{}`", short(&site)));
    let what = format!("redirect refused: it answered {}{to}", reply.status);
    Problem::new(Reason::Upstream, what)
        .remedy("one 307 or 308 to the same host and port is followed: name the server that answers itself")
}
