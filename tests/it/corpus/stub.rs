//! The backend that the cases were recorded with: canned answers by raw path and raw query, and a record of what
//! reached it.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::case::{Call, Jwt, RECORDED, folder};
use crate::testkit::{Identity, Reply, Request, Testkit};

/// The stub, until it is dropped.
pub(crate) struct Stub {
    kit: Testkit,
    pub(crate) port: u16,
}

/// Which requests a canned answer is for; the lower, the earlier it is asked.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Body,
    Query,
    Method,
    Exact,
    Prefix,
    Suffix,
    Any,
}

struct Route {
    rank: Rank,
    /// `*` for any.
    method: String,
    path: String,
    query: Option<String>,
    body: Option<String>,
    reply: Reply,
}

impl Stub {
    pub(crate) fn start() -> Self {
        let kit = Testkit::start_as(Identity::Plain);
        let port = kit.listener().port();
        let routes = Arc::new(routes(port));
        kit.route("*", move |request| answer(&routes, &request));
        Self { kit, port }
    }

    /// What reached it since the last time.
    pub(crate) fn take(&self) -> Vec<Call> {
        self.kit.take_log().iter().map(call).collect()
    }
}

fn routes(port: u16) -> Vec<Route> {
    let text = fs::read_to_string(folder().join("vault/fixture.json")).expect("the fixture");
    let text = text.replace(RECORDED, &format!("127.0.0.1:{port}"));
    let fixture: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    let mut routes: Vec<Route> = fixture["routes"].as_array().expect("routes").iter().map(route).collect();
    routes.push(Route {
        rank: Rank::Any,
        method: "*".to_owned(),
        path: String::new(),
        query: None,
        body: None,
        reply: reply(&fixture["default"]),
    });
    routes.sort_by(|one, other| one.rank.cmp(&other.rank));
    routes
}

fn route(route: &Value) -> Route {
    let text = |name: &str| route[name].as_str().map(str::to_owned);
    let (method, query, body) = (text("method").expect("a method"), text("query"), text("request_body"));
    let rank = match route["match"].as_str() {
        Some("exact") if body.is_some() => Rank::Body,
        Some("exact") if query.is_some() => Rank::Query,
        Some("exact") if method != "*" => Rank::Method,
        Some("exact") => Rank::Exact,
        Some("prefix") => Rank::Prefix,
        Some("suffix") => Rank::Suffix,
        other => panic!("a route that matches by {other:?}"),
    };
    Route { rank, method, path: text("path").expect("a path"), query, body, reply: reply(&route["reply"]) }
}

fn reply(canned: &Value) -> Reply {
    let status = canned["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status");
    let body = match canned["body_base64"].as_str() {
        Some(text) => STANDARD.decode(text).expect("base64"),
        None => canned["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    let bodiless = matches!(status, 204 | 304);
    let headers = canned["headers"].as_object().into_iter().flatten();
    headers.fold(Reply::new(status, if bodiless { Vec::new() } else { body }), |reply, (name, value)| {
        reply.header(name, value.as_str().expect("a header's text"))
    })
}

fn answer(routes: &[Route], request: &Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let fits = |route: &&Route| {
        let path = match route.rank {
            Rank::Prefix | Rank::Any => path.starts_with(&route.path),
            Rank::Suffix => path.ends_with(&route.path),
            Rank::Body | Rank::Query | Rank::Method | Rank::Exact => path == route.path,
        };
        path && (route.method == "*" || route.method == request.method)
            && route.query.as_deref().is_none_or(|wanted| wanted == query)
            && route.body.as_deref().is_none_or(|wanted| wanted.as_bytes() == request.body)
    };
    routes.iter().find(fits).expect("the last one fits all").reply.clone()
}

/// A request as the cases record it.
fn call(request: &Request) -> Call {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let (body, jwt) = match shown(&body) {
        Some((before, jwt, after)) => (format!("{before}<jwt>{after}"), Some(Jwt { aud: audiences(jwt) })),
        None => (body, None),
    };
    Call {
        method: request.method.clone(),
        path: request.path.clone(),
        namespace: request.header("x-vault-namespace").map(str::to_owned),
        token: request.header("x-vault-token").is_some(),
        body: (!body.is_empty()).then_some(body),
        jwt,
    }
}

/// The token that a login shows, and what stands around it.
fn shown(body: &str) -> Option<(&str, &str, &str)> {
    let start = "{\"jwt\":\"";
    let rest = body.strip_prefix(start)?;
    let end = rest.find('"')?;
    Some((start, &rest[..end], &rest[end..]))
}

fn audiences(jwt: &str) -> Vec<String> {
    let claims = jwt.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let many = claims["aud"].as_array().into_iter().flatten();
    claims["aud"].as_str().into_iter().chain(many.filter_map(Value::as_str)).map(str::to_owned).collect()
}
