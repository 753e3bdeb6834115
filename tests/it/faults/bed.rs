//! The engine with the real Vault store and the real `net`, before a scripted server that is Vault at many hosts: each
//! may be well, or have faults at some of its paths. Time stands still, IO is real.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::audit::{self, Audit};
use latchkey::dialect::vault::Vault as Dialect;
use latchkey::driver::{self, Flavour, PodToken};
use latchkey::engine::{Engine, Limits, Order, Origin, Parts};
use latchkey::error::Problems;
use latchkey::model::locator::vault;
use latchkey::model::{self, Catalog, Defaults, Endpoint, Entry, StoreName, VersionKey};
use latchkey::net::{self, Names, Net};
use latchkey::policy::Policy;
use latchkey::secret::DigestKey;
use latchkey::store::vault::Vault;
use latchkey::telemetry::Metrics;
use serde_json::json;

use crate::support::issuer::unsigned;
use crate::testkit::{Held, Reply, Request, Testkit, held};

/// In every token, and every value and body of the server's, and in no text.
pub(super) const CANARY: &str = "CANARY";

/// As long as kubelet's own patience with a driver, less than what the operation may take.
pub(super) const CALLER: Duration = Duration::from_secs(45);

/// What the server answers in place of what it should.
struct Fault {
    host: String,
    path: String,
    /// How often still; for ever where it says nothing.
    left: Option<usize>,
    reply: Reply,
}

/// A pod's mount, and what came of it.
pub(super) struct Answer {
    pub(super) outcome: Result<BTreeMap<String, String>, Problems>,
    /// How long it took, in held time.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn refused(&self) -> &Problems {
        self.outcome.as_ref().expect_err("it was delivered")
    }

    /// The content of its one file.
    pub(super) fn file(&self) -> &str {
        let files = self.outcome.as_ref().unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(files.len(), 1);
        &files["o"]
    }
}

/// What a pod asks for.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) pod: usize,
    pub(super) address: String,
    /// The auth mount.
    pub(super) auth: &'static str,
    pub(super) objects: String,
    pub(super) time: Duration,
    /// From when to when its token is valid, in seconds from now; long for most tests.
    pub(super) token: Option<(i64, i64)>,
}

#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<u8>>>);

impl Write for Trail {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) struct Bed {
    pub(super) kit: Testkit,
    pub(super) held: Held,
    engine: Arc<Engine>,
    metrics: Metrics,
    audit: Audit,
    trail: Trail,
    faults: Arc<Mutex<Vec<Fault>>>,
    log: Mutex<Vec<Request>>,
}

impl Bed {
    /// The server answers at each of these hosts, and those are the administrator's.
    pub(super) fn new(kit: Testkit, hosts: &[String]) -> Self {
        let endpoints = hosts.iter().map(|host| kit.endpoint_at(host, model::Origin::Administrator));
        let endpoints = endpoints.collect();
        Self::with(kit, endpoints, |_| Ok(vec!["127.0.0.1".parse().unwrap()]))
    }

    /// The administrator's endpoints, wherever they lead, and who knows the addresses of names.
    pub(super) fn with(
        kit: Testkit,
        endpoints: Vec<Endpoint>,
        names: impl Fn(&str) -> std::io::Result<Vec<std::net::IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let held = held().beside(&kit);
        let clock = held.clock;
        let entry = |(index, endpoint): (usize, Endpoint)| {
            let name = if index == 0 { "vault".to_owned() } else { format!("at{index}") };
            let defaults = vault::Defaults { endpoint: Some(endpoint), ..vault::Defaults::default() };
            let store = StoreName::parse(&name).unwrap();
            Entry { store, defaults: Defaults::Vault(defaults), fresh: None }
        };
        let catalog = Catalog::new(endpoints.into_iter().enumerate().map(entry));
        let (metrics, trail) = (Metrics::new("0", false, clock), Trail::default());
        let audit = Audit::start(&audit::Config::default(), Box::new(trail.clone()), clock, Arc::new(|_| {}));
        let audit = audit.unwrap();
        let config = net::Config { names: Names::of(names), ..net::Config::default() };
        let net = Arc::new(Net::new(config, clock, metrics.clone()).unwrap());
        let store: Arc<dyn latchkey::store::Store> = Arc::new(Vault::new(net));
        let engine = Engine::new(Parts {
            clock,
            stores: BTreeMap::from([(StoreName::parse("vault").unwrap(), store)]),
            catalog,
            policy: Policy::default(),
            issuer: None,
            version_key: VersionKey(DigestKey::random()),
            limits: Limits::default(),
            metrics: metrics.clone(),
            audit: audit.clone(),
            audit_all_polls: true,
        });
        let faults = Arc::<Mutex<Vec<Fault>>>::default();
        let present = Arc::clone(&faults);
        kit.route("*", move |request| answer(&present, &request));
        Self { kit, held, engine, metrics, audit, trail, faults, log: Mutex::default() }
    }

    /// From now on the server answers so at this host to all whose path below `/v1/` begins so.
    pub(super) fn fault(&self, host: &str, path: &str, reply: &Reply) {
        self.faults_for(host, path, None, reply);
    }

    /// The same, so many times.
    pub(super) fn faults_for(&self, host: &str, path: &str, left: Option<usize>, reply: &Reply) {
        let (host, path) = (host.to_owned(), format!("/v1/{path}"));
        self.faults.lock().unwrap().push(Fault { host, path, left, reply: reply.clone() });
    }

    /// All is well again.
    pub(super) fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How often the host was asked for this path since the last [`Self::forget`].
    pub(super) fn asked(&self, host: &str, path: &str) -> usize {
        self.requests(host, path).len()
    }

    /// What it was asked with.
    pub(super) fn requests(&self, host: &str, path: &str) -> Vec<Request> {
        let mut log = self.log.lock().unwrap();
        log.extend(self.kit.take_log());
        let path = format!("/v1/{path}");
        let asked = log.iter().filter(|request| request.host == host && request.path.starts_with(&path));
        asked.cloned().collect()
    }

    pub(super) fn forget(&self) {
        self.kit.take_log();
        self.log.lock().unwrap().clear();
    }

    pub(super) fn ask(&self, pod: usize, host: &str, objects: &str) -> Ask {
        let address = self.kit.at(host).to_string();
        Ask { pod, address, auth: "kubernetes", objects: objects.to_owned(), time: CALLER, token: None }
    }

    pub(super) async fn mount(&self, ask: &Ask) -> Answer {
        let clock = self.held.clock;
        let began = clock.now();
        let parameters = [
            ("roleName", "web"),
            ("vaultAddress", &ask.address),
            ("vaultAuthMountPath", ask.auth),
            ("objects", &ask.objects),
        ];
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let order = Order {
            dialect: Arc::new(Dialect { flavour: vault::Flavour::Vault }),
            envelope: driver::envelope(driver::request(
                "class",
                &parameters,
                &pod(ask, clock.wall().seconds()),
                &Flavour::Driver16,
            )),
            deadline: began + ask.time,
            origin: Origin::Driver,
        };
        let outcome = self.engine.mount(order).await.map(|delivery| {
            let file = |file: &model::File| {
                (file.path.to_string(), String::from_utf8(file.contents.expose().to_vec()).unwrap())
            };
            delivery.rendered.files().iter().map(file).collect()
        });
        Answer { outcome, took: clock.now() - began }
    }

    /// All of them at once, while time passes.
    pub(super) async fn mount_all(&self, asks: &[Ask]) -> Vec<Answer> {
        let mounts = futures_util::future::join_all(asks.iter().map(|ask| self.mount(ask)));
        let limit = asks.iter().map(|ask| ask.time).max().unwrap_or_default() + Duration::from_secs(5);
        self.held.drive(limit, mounts).await.0.expect("every mount is answered before its caller leaves")
    }

    pub(super) async fn mount_one(&self, ask: &Ask) -> Answer {
        self.mount_all(std::slice::from_ref(ask)).await.remove(0)
    }

    /// What one series says; 0 where it is not there.
    pub(super) fn figure(&self, series: &str) -> usize {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |figure| figure.parse().unwrap())
    }

    /// Nothing secret in trail and figures, no mount without a line, and none that ended in a bug of ours.
    pub(super) async fn is_well(&self) {
        for _ in 0..2_000 {
            if self.audit.flush(self.held.clock.now()).await {
                break;
            }
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
        }
        let trail = String::from_utf8(self.trail.0.lock().unwrap().clone()).unwrap();
        let figures = self.metrics.encode();
        for text in [&trail, &figures] {
            assert!(!text.contains(CANARY), "something secret in {text}");
            assert!(!text.contains("reason=\"bug\"") && !text.contains("\"reason\":\"bug\""), "{text}");
        }
        assert!(trail.contains("\"event\":\"login\""), "{trail}");
    }
}

/// When held time begins.
const START: i64 = 1_800_000_000;

/// A pod of account `shop/web`.
fn pod(ask: &Ask, now: i64) -> driver::Pod {
    let number = ask.pod;
    let uid = format!("00000000-0000-4000-8000-{number:012}");
    let (start, end) = ask.token.map_or((START, START + 30 * 86_400), |(from, to)| (now + from, now + to));
    let claims = json!({
        "iss": "https://issuer.test", "aud": ["vault"], "nbf": start, "exp": end, "jti": format!("token-{number}"),
        "sub": "system:serviceaccount:shop:web",
        "kubernetes.io": {
            "namespace": "shop", "serviceaccount": { "name": "web" }, "pod": { "name": format!("pod-{number}"), "uid": uid },
        },
    });
    let token = unsigned(&claims);
    let token = format!("{}.{CANARY}{number}", token.rsplit_once('.').unwrap().0);
    let expires = latchkey::clock::Wall::from_seconds(end);
    driver::Pod {
        namespace: "shop".to_owned(),
        service_account: "web".to_owned(),
        name: format!("pod-{number}"),
        uid,
        volume: "secrets".to_owned(),
        tokens: BTreeMap::from([("vault".to_owned(), PodToken { token, expires })]),
        ..driver::Pod::default()
    }
}

fn answer(faults: &Mutex<Vec<Fault>>, request: &Request) -> Reply {
    let mut faults = faults.lock().unwrap();
    let here = |fault: &&mut Fault| {
        fault.host == request.host && request.path.starts_with(&fault.path) && fault.left != Some(0)
    };
    if let Some(fault) = faults.iter_mut().find(here) {
        fault.left = fault.left.map(|left| left - 1);
        return fault.reply.clone();
    }
    well(request)
}

/// As Vault answers that is well. Each token is an entity of its own, so that nobody is served what another has read.
fn well(request: &Request) -> Reply {
    let path = request.path.strip_prefix("/v1/").unwrap_or_default();
    if path.starts_with("auth/") && path.ends_with("/login") {
        let jwt = request.json()["jwt"].as_str().unwrap_or_default().to_owned();
        let who = jwt.rsplit_once(CANARY).map_or("", |(_, who)| who).to_owned();
        // Sessions of the auth mount `short` last a minute.
        let seconds = if path.contains("/short/") { 60 } else { 3600 };
        return Reply::json(
            200,
            &json!({ "auth": {
                "client_token": format!("hvs.{CANARY}{who}"), "accessor": format!("{CANARY}a{who}"), "policies": ["web"],
                "entity_id": format!("entity-{who}"), "lease_duration": seconds, "renewable": true, "num_uses": 0,
            } }),
        );
    }
    let value = format!("{CANARY} of {path}");
    match (&*request.method, path) {
        (_, "auth/token/lookup-self") => Reply::json(200, &json!({ "data": { "ttl": 60 } })),
        ("GET", path) if path.starts_with("creds/") => Reply::json(
            200,
            &json!({ "lease_id": format!("{path}/{CANARY}"), "lease_duration": 3600, "renewable": true, "data": { "k": value } }),
        ),
        ("GET", path) if path.starts_with("kv/") => {
            Reply::json(200, &json!({ "data": { "data": { "k": value }, "metadata": { "version": 3 } } }))
        }
        ("PUT", path) if path.starts_with("pki/") => Reply::json(200, &json!({ "data": { "k": value } })),
        _ => Reply::json(404, &json!({ "errors": [] })),
    }
}

/// One object, by what it is read with.
pub(super) fn get(path: &str) -> String {
    format!("- {{ objectName: o, secretPath: \"{path}\", secretKey: k }}\n")
}

/// One object, by a request with an effect.
pub(super) fn put(path: &str) -> String {
    format!(
        "- {{ objectName: o, secretPath: {path}, secretKey: k, method: PUT, secretArgs: {{ a: {CANARY} }} }}\n"
    )
}
