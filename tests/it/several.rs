//! One server, two providers: each dialect has its own socket, and all sockets share one engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use latchkey::audit::{self, Audit};
use latchkey::clock::{Clock, Span};
use latchkey::dialect::native::Native;
use latchkey::dialect::{Dialect, Facts, Param};
use latchkey::driver::{Answer, ask as who};
use latchkey::engine::{Engine, Limits, Parts};
use latchkey::error::{Fault, Problems};
use latchkey::model::locator::local;
use latchkey::model::{
    Access, Attributes, Catalog, Defaults, Entry, Kind, Locator, Material, Part, Plan, StoreName, VersionKey,
};
use latchkey::policy::Policy;
use latchkey::secret::{DigestKey, Secret};
use latchkey::serve::{Running, Server};
use latchkey::store::{Authority, Cx, Manners, Proof, Scope, Session, Store};
use latchkey::telemetry::Metrics;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::agent::ask;
use crate::support::channel::{channel, contents, mount};

/// Native under another provider's name, counting what it parses.
#[derive(Default)]
struct Tiny(AtomicUsize);

impl Dialect for Tiny {
    fn provider(&self) -> &'static str {
        "tiny"
    }

    fn params(&self) -> &'static [Param] {
        Native.params()
    }

    fn parse(&self, attributes: &Attributes, facts: Facts<'_>, catalog: &Catalog) -> Result<Plan, Problems> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Native.parse(attributes, facts, catalog)
    }
}

/// Gives every object its own path as content.
struct Echo;

impl Store for Echo {
    fn scope(&self, _: &Access) -> Scope {
        Scope::Account
    }

    fn manners(&self) -> Manners {
        Manners { batch: usize::MAX, fresh: Duration::ZERO }
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        _: &'a Access,
        _: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        let life = Span { from: cx.clock.now(), until: None };
        let credential = Secret::from_text(String::new());
        let authority = Authority(cx.digests.digest(&[b"anyone"]));
        async move { Ok(Session { credential, authority, life }) }.boxed()
    }

    fn fetch<'a>(
        &'a self,
        _: &'a Cx,
        _: &'a Session,
        _: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        let material = |locator: &Locator| {
            let body = Secret::from_text(locator.to_string());
            let part = Part { version: None, body, fields: BTreeMap::new() };
            Ok(Material { parts: vec![part], kind: Kind::Static })
        };
        async move { wanted.iter().map(material).collect() }.boxed()
    }
}

/// A server of both dialects in a folder of its own.
struct Served {
    folder: tempfile::TempDir,
    running: Running,
    metrics: Metrics,
    audit: Audit,
    tiny: Arc<Tiny>,
    keepers: JoinSet<()>,
}

impl Served {
    async fn start(prepare: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let clock = Clock::system();
        let metrics = Metrics::new("0", false, clock);
        let settings =
            audit::Config { file: Some(folder.path().join("audit.jsonl")), ..audit::Config::default() };
        let audit = Audit::start(&settings, Box::new(std::io::sink()), clock, Arc::new(|_| {})).unwrap();
        let store = StoreName::parse("local").unwrap();
        let access = local::Access { store: store.clone(), audience: None };
        let entry = Entry { store: store.clone(), defaults: Defaults::Local(access), fresh: None };
        let engine = Engine::new(Parts {
            clock,
            stores: BTreeMap::from([(store, Arc::new(Echo) as Arc<dyn Store>)]),
            catalog: Catalog::new([entry]),
            policy: Policy::default(),
            issuer: None,
            version_key: VersionKey(DigestKey::random()),
            limits: Limits::default(),
            metrics: metrics.clone(),
            audit: audit.clone(),
            audit_all_polls: false,
        });
        let tiny = Arc::new(Tiny::default());
        let server = Server {
            engine,
            dialects: vec![Arc::new(Native), Arc::clone(&tiny) as Arc<dyn Dialect>],
            others: Vec::new(),
            folder: folder.path().to_owned(),
            clock,
            metrics: metrics.clone(),
        };
        let (running, keeping) = server.start().await;
        let mut keepers = JoinSet::new();
        keeping.into_iter().for_each(|keeper| drop(keepers.spawn(keeper)));
        Self { folder, running, metrics, audit, tiny, keepers }
    }

    fn socket(&self, provider: &str) -> PathBuf {
        self.folder.path().join(format!("{provider}.sock"))
    }

    async fn wait_ready(&self, ready: bool) {
        for _ in 0..2_000 {
            if self.running.ready.is_ready() == ready {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for ready = {ready}");
    }
}

fn secrets(path: &str) -> String {
    format!("it: {{ store: local, path: {path} }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_socket_speaks_its_own_dialect_at_the_same_time() {
    let served = Served::start(|_| {}).await;
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let provider = if number % 2 == 0 { "latchkey" } else { "tiny" };
        let socket = served.socket(provider);
        calls.spawn(async move {
            let path = format!("{provider}/{number}");
            let request = ask(&format!("pod-{number}"), &[("secrets", &secrets(&path))]);
            let answer = mount(&channel(&socket), request).await.unwrap();
            assert_eq!(&contents(&answer)["it"][..], path.as_bytes());
        });
    }
    calls.join_all().await;
    assert_eq!(served.tiny.0.load(Ordering::Relaxed), 50);
    let figures = served.metrics.encode();
    for provider in ["latchkey", "tiny"] {
        let line =
            format!("latchkey_mounts_total{{provider=\"{provider}\",outcome=\"delivered\",reason=\"\"}} 50");
        assert!(figures.contains(&line), "{figures}");
        // By this word the next agent knows that it may take the name over.
        let answer = who(&served.socket(provider), Duration::from_secs(10), Clock::system()).await;
        assert!(matches!(answer, Answer::Latchkey(_)), "{provider}: {answer:?}");
    }
    served.audit.flush(Clock::system().now() + Duration::from_secs(10)).await;
    let text = fs::read_to_string(served.folder.path().join("audit.jsonl")).unwrap();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let provider = line["provider"].as_str().unwrap();
        assert!(line["object"].as_str().unwrap().starts_with(provider), "{line}");
    }
    assert_eq!(text.lines().count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_socket_answers_for_its_health() {
    let served = Served::start(|_| {}).await;
    for provider in ["latchkey", "tiny"] {
        let mut health = HealthClient::new(channel(&served.socket(provider)));
        for service in ["", "v1alpha1.CSIDriverProvider"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = health.check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{provider} {service}");
        }
        let unknown = HealthCheckRequest { service: "v1.Other".to_owned() };
        assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_of_two_makes_it_ready_and_none_does_not() {
    let served = Served::start(|folder| {
        fs::write(folder.join("latchkey.sock"), "").unwrap();
        fs::write(folder.join("tiny.sock"), "").unwrap();
    })
    .await;
    assert!(!served.running.ready.is_ready(), "ready without a socket");
    fs::remove_file(served.socket("tiny")).unwrap();
    served.wait_ready(true).await;
    let request = ask("app", &[("secrets", &secrets("a"))]);
    mount(&channel(&served.socket("tiny")), request.clone()).await.unwrap();
    let figures = served.metrics.encode();
    assert!(figures.contains("latchkey_socket{name=\"tiny\",state=\"bound\"} 1"), "{figures}");
    assert!(figures.contains("latchkey_socket{name=\"latchkey\",state=\"blocked\"} 1"), "{figures}");
    // The one that it has is lost to a folder: not ready any more.
    fs::remove_file(served.socket("tiny")).unwrap();
    fs::create_dir(served.socket("tiny")).unwrap();
    served.wait_ready(false).await;
    fs::remove_file(served.socket("latchkey")).unwrap();
    served.wait_ready(true).await;
    mount(&channel(&served.socket("latchkey")), request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_names_are_kept_until_the_server_is_stopped_and_none_is_removed() {
    let mut served = Served::start(|_| {}).await;
    let line = channel(&served.socket("tiny"));
    mount(&line, ask("app", &[("secrets", &secrets("a"))])).await.unwrap();
    assert!(served.keepers.try_join_next().is_none(), "a keeper ended by itself");
    served.running.stop();
    assert!(!served.running.ready.is_ready());
    while let Some(keeper) = served.keepers.join_next().await {
        keeper.unwrap();
    }
    let clock = Clock::system();
    served.running.drained(clock.now() + Duration::from_secs(20)).await;
    for provider in ["latchkey", "tiny"] {
        assert!(served.socket(provider).exists());
        let answer = who(&served.socket(provider), Duration::from_secs(10), clock).await;
        assert_eq!(answer, Answer::Refused, "{provider}");
    }
}
