//! One mount inside the process: 4 objects of 1 KiB, without a socket, from the local store, which keeps nothing, and from
//! what is kept of a remote one; and what its parts cost.
//! `benches/load/run` measures the same over the socket, beside a bare echo.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::future::ready;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::BoxFuture;
use latchkey::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use latchkey::audit::{self, Audit};
use latchkey::clock::{Clock, Span};
use latchkey::dialect::{Dialect, Facts, native::Native};
use latchkey::driver::{self, Flavour, Pod};
use latchkey::engine::{Engine, Limits, Order, Origin, Parts};
use latchkey::error::Fault;
use latchkey::model::{
    Access, Attributes, Call, Catalog, Defaults, Entry, Envelope, FileMode, Kind, Locator, Material, Part,
    StoreName, VersionKey, locator,
};
use latchkey::policy::Policy;
use latchkey::secret::{DigestKey, Secret};
use latchkey::store::local::{Config, Local};
use latchkey::store::{Authority, Cx, Manners, Proof, Scope, Session, Store};
use latchkey::telemetry::Metrics;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

const SECRETS: &str = "o0: { store: local, path: bench/o0 }\no1: { store: local, path: bench/o1 }\n\
                       o2: { store: local, path: bench/o2 }\no3: { store: local, path: bench/o3 }\n";

fn catalog() -> Catalog {
    let store = StoreName::parse("local").unwrap();
    let access = locator::local::Access { store: store.clone(), audience: None };
    Catalog::new([Entry { store, defaults: Defaults::Local(access), fresh: None }])
}

fn engine(folder: &Path) -> Arc<Engine> {
    let (file, identity) = (folder.join("store.age"), folder.join("key.txt"));
    let (keeper, _) = Keeper::init(&file, &identity).unwrap();
    let readers = Readers { clear: false, add: vec![Reader::parse("bench/*").unwrap()] };
    for object in ["o0", "o1", "o2", "o3"] {
        let path = EntryPath::parse(&format!("bench/{object}")).unwrap();
        keeper.set(&path, &readers, Some(Content::Value(Zeroizing::new(vec![b'x'; 1024])))).unwrap();
    }
    let (clock, name) = (Clock::system(), StoreName::parse("local").unwrap());
    let store = Local::new(Config { name: name.clone(), file, identity, verify: None });
    let settings = audit::Config { file: Some(folder.join("audit.jsonl")), ..audit::Config::default() };
    Engine::new(Parts {
        clock,
        stores: BTreeMap::from([(name, Arc::new(store) as _)]),
        catalog: catalog(),
        policy: Policy::default(),
        issuer: None,
        version_key: VersionKey(DigestKey::random()),
        limits: Limits::default(),
        metrics: Metrics::new("bench", true, clock),
        audit: Audit::start(&settings, Box::new(std::io::sink()), clock, Arc::new(|_| ())).unwrap(),
        audit_all_polls: false,
    })
}

fn envelope() -> Envelope {
    let pod = Pod {
        namespace: "bench".to_owned(),
        service_account: "app".to_owned(),
        name: "app-1".to_owned(),
        uid: "00000000-0000-4000-8000-000000000001".to_owned(),
        volume: "secrets".to_owned(),
        ..Pod::default()
    };
    let parameters = BTreeMap::from([("secrets".to_owned(), SECRETS.to_owned())]);
    driver::envelope(driver::request("class", &parameters, &pod, &Flavour::Driver16))
}

fn mount(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let engine = runtime.block_on(async { engine(folder.path()) });
    mounts(criterion, &runtime, &engine, "mount, unchanged");
}

fn mounts(criterion: &mut Criterion, runtime: &Runtime, engine: &Arc<Engine>, name: &str) {
    let (clock, dialect) = (Clock::system(), Arc::new(Native) as Arc<dyn Dialect>);
    criterion.bench_function(name, |bencher| {
        bencher.to_async(runtime).iter(|| async {
            let order = Order {
                dialect: Arc::clone(&dialect),
                envelope: envelope(),
                deadline: clock.now() + Duration::from_secs(45),
                origin: Origin::Driver,
            };
            engine.mount(order).await.unwrap()
        });
    });
}

/// What a remote store gives, without the way to it: its objects are kept after the first mount.
struct Remote;

impl Store for Remote {
    fn scope(&self, _: &Access) -> Scope {
        Scope::Pod
    }

    fn manners(&self) -> Manners {
        Manners { batch: 1, fresh: Duration::from_secs(3600) }
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        _: &'a Access,
        _: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        let life = Span { from: cx.clock.now(), until: None };
        let authority = Authority(cx.digests.digest(&[b"bench"]));
        Box::pin(ready(Ok(Session { credential: Secret::from_text("bench".to_owned()), authority, life })))
    }

    fn fetch<'a>(
        &'a self,
        _: &'a Cx,
        _: &'a Session,
        _: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        let one = |_: &Locator| {
            let body = Secret::new(Zeroizing::new(vec![b'x'; 1024]));
            Ok(Material {
                parts: vec![Part { version: None, body, fields: BTreeMap::new() }],
                kind: Kind::Static,
            })
        };
        Box::pin(ready(wanted.iter().map(one).collect()))
    }
}

fn kept(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (clock, name) = (Clock::system(), StoreName::parse("local").unwrap());
    let audit =
        Audit::start(&audit::Config::default(), Box::new(std::io::sink()), clock, Arc::new(|_| ())).unwrap();
    let engine = Engine::new(Parts {
        clock,
        stores: BTreeMap::from([(name, Arc::new(Remote) as _)]),
        catalog: catalog(),
        policy: Policy::default(),
        issuer: None,
        version_key: VersionKey(DigestKey::random()),
        limits: Limits::default(),
        metrics: Metrics::new("bench", true, clock),
        audit,
        audit_all_polls: false,
    });
    mounts(criterion, &runtime, &engine, "one mount, four kept objects");
}

fn parts(criterion: &mut Criterion) {
    let envelope = envelope();
    criterion.bench_function("parse the call", |bencher| {
        bencher.iter(|| Call::parse(black_box(&envelope)).unwrap());
    });
    let attributes = Attributes::new(BTreeMap::from([("secrets".to_owned(), SECRETS.to_owned())]));
    let digests = DigestKey::new(&[7; 32]);
    let (catalog, facts) = (catalog(), Facts { mode: FileMode::DEFAULT, publish: false, digests: &digests });
    criterion.bench_function("parse the class", |bencher| {
        bencher.iter(|| Native.parse(black_box(&attributes), facts, &catalog).unwrap());
    });
}

criterion_group!(benches, mount, kept, parts);
criterion_main!(benches);
