//! What other crates say of a login and a read, where nothing keeps them quiet; and that our own log, at its most verbose,
//! has nothing of it. The first is for people to read (`--nocapture`): it shows what the cap is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use latchkey::clock::Clock;
use latchkey::model::{Origin, StoreName};
use latchkey::net::{Config, Net, Request};
use latchkey::room::Room;
use latchkey::secret::Secret;
use latchkey::telemetry::log::{self, Format, Level};
use latchkey::telemetry::{self, Metrics};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::support::canary::{Canary, assert_silent};
use crate::testkit::{Reply, Testkit};

/// Everything that is said, by who says it and at which level.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

/// Target and level, and the lines.
type Heard = BTreeMap<(String, String), Vec<String>>;

impl Ear {
    fn hear(&self, metadata: &Metadata<'_>, say: impl FnOnce(&mut Words)) {
        let mut words = Words(format!("{} ", metadata.name()));
        say(&mut words);
        let who = (metadata.target().to_owned(), metadata.level().to_string());
        self.0.lock().unwrap().entry(who).or_default().push(words.0);
    }
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.hear(event.metadata(), |words| event.record(words));
    }

    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.hear(span.metadata(), |words| span.record(words));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut words = Words("recorded ".to_owned());
        values.record(&mut words);
        let who = ("a span's fields".to_owned(), "-".to_owned());
        self.0.lock().unwrap().entry(who).or_default().push(words.0);
    }
}

/// The secrets of a login and a read.
struct Secrets {
    jwt: Canary,
    token: Canary,
    value: Canary,
    query: Canary,
}

impl Secrets {
    fn new() -> Self {
        let [jwt, token, value, query] =
            ["the pod's token", "the session's token", "a value", "a path's query"].map(Canary::new);
        Self { jwt, token, value, query }
    }

    /// Those that are nobody's to see. A path is not secret, query or not: it stands in audit lines.
    fn secret(&self) -> [&Canary; 3] {
        [&self.jwt, &self.token, &self.value]
    }
}

/// Logs in and reads, on this thread alone.
fn login_and_read(secrets: &Secrets) {
    let kit = Testkit::start();
    let (token, value) = (secrets.token.core.clone(), secrets.value.value());
    let login = json!({ "auth": { "client_token": format!("hvs.{token}") } });
    kit.route("*", move |request| match &*request.method {
        "POST" => Reply::json(200, &login).header("x-vault-index", &token),
        _ => Reply::json(200, &json!({ "data": { "k": value } })),
    });
    let clock = Clock::system();
    let net = Net::new(Config::default(), clock, Metrics::new("1", false, clock)).unwrap();
    let (room, store) = (Room::new(16 << 20), StoreName::parse("vault").unwrap());
    let endpoint = kit.endpoint(Origin::Administrator);
    let body = Secret::from_text(json!({ "jwt": secrets.jwt.core }).to_string());
    let mut header = HeaderValue::from_str(&format!("hvs.{}", secrets.token.core)).unwrap();
    header.set_sensitive(true);
    let headers = [(HeaderName::from_static("x-vault-token"), header)];
    let path = format!("/v1/kv/a?x={}", secrets.query.core);
    let requests = [
        Request {
            store: &store,
            operation: "login",
            method: Method::POST,
            path: "/v1/auth/kubernetes/login",
            headers: &[],
            body: Some(&body),
        },
        Request {
            store: &store,
            operation: "read",
            method: Method::GET,
            path: &path,
            headers: &headers,
            body: None,
        },
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for request in requests {
            let until = clock.now() + Duration::from_secs(20);
            let reply = net.send(&endpoint, request, &room.claim(), until).await;
            assert_eq!(reply.unwrap_or_else(|fault| panic!("{}", fault.problem)).status, 200);
        }
    });
}

#[test]
fn what_other_crates_would_say_is_known() {
    let (ear, secrets) = (Ear::default(), Secrets::new());
    let subscriber = tracing_subscriber::registry().with(ear.clone());
    tracing::subscriber::with_default(subscriber, || login_and_read(&secrets));
    let heard = ear.0.lock().unwrap();
    for ((target, level), lines) in heard.iter().filter(|((target, _), _)| !target.starts_with("latchkey")) {
        let text = lines.join("\n");
        let told = [&secrets.jwt, &secrets.token, &secrets.value, &secrets.query];
        let told: Vec<&str> =
            told.iter().filter(|one| one.found(text.as_bytes()).is_some()).map(|one| &*one.name).collect();
        let told = if told.is_empty() { "nothing secret".to_owned() } else { told.join(", ") };
        println!("{target} {level}: {} lines, {told}", lines.len());
    }
    assert!(
        heard.values().map(Vec::len).sum::<usize>() > 0,
        "somebody says something, or nobody was listened to"
    );
}

#[test]
fn under_our_own_log_at_its_most_verbose_they_say_nothing_of_it() {
    let (heard, secrets) = (Arc::new(Mutex::new(Vec::new())), Secrets::new());
    let clock = Clock::system();
    let config = telemetry::Config { format: Format::Json, level: Level::Trace };
    let page = Page(Arc::clone(&heard));
    let (subscriber, guard) = log::build(&config, Box::new(page), &Metrics::new("1", false, clock)).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::trace!(target: "latchkey", "listening");
        login_and_read(&secrets);
    });
    assert!(guard.flush(Duration::from_secs(10)));
    let text = heard.lock().unwrap().clone();
    let lines = String::from_utf8(text.clone()).unwrap();
    let targets: BTreeSet<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| matches!(line["level"].as_str(), Some("DEBUG" | "TRACE")))
        .map(|line| line["target"].as_str().unwrap().to_owned())
        .collect();
    assert!(targets.contains("latchkey"), "our own lines come at every level: {targets:?}");
    let others: Vec<_> = targets.iter().filter(|target| !target.starts_with("latchkey")).collect();
    assert!(others.is_empty(), "others at debug or below: {others:?}");
    assert_silent(&secrets.secret().map(Clone::clone), &[("our own log", text)]);
}

struct Page(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
