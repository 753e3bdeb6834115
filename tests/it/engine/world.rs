//! An engine with a scripted backend, under a clock that stands still, and pods that mount through it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::audit::{self, Audit};
use latchkey::clock::{Clock, Wall};
use latchkey::dialect::{Dialect, Facts, Param};
use latchkey::driver::{self, Flavour, Pod, PodToken};
use latchkey::engine::{Delivery, Engine, Issuer, Keep, Limits, Order, Origin, Parts};
use latchkey::error::Problems;
use latchkey::model::locator::vault;
use latchkey::model::{
    self, Access, Address, Attributes, Audience, Body, Catalog, Cut, Defaults, Endpoint, Entry, FileSpec,
    Locator, PathRule, Plan, RelPath, Source, StoreName, Tls, VersionKey, VersionRule, Want,
};
use latchkey::policy::Policy;
use latchkey::secret::DigestKey;
use latchkey::store::{Manners, Store};
use latchkey::telemetry::Metrics;
use serde_json::{Value, json};

use super::backend::Backend;
use super::mint::Maker;
use crate::support::issuer::unsigned;

pub(super) const AUDIENCE: &str = "vault";

/// One object a line: `PATH`, then `fresh=SECONDS`, `optional`, `as=FILE`.
pub(super) struct Lines;

impl Dialect for Lines {
    fn provider(&self) -> &'static str {
        "lines"
    }

    fn params(&self) -> &'static [Param] {
        &[]
    }

    fn parse(&self, attributes: &Attributes, facts: Facts<'_>, _: &Catalog) -> Result<Plan, Problems> {
        let access = Arc::new(Access::Vault(vault::Access {
            store: StoreName::parse("vault").unwrap(),
            endpoint: Endpoint {
                address: Address::parse("https://vault.test:8200").unwrap(),
                origin: model::Origin::Administrator,
                tls: Tls::default(),
            },
            namespace: "".into(),
            mount: "kubernetes".into(),
            role: attributes.get("role").unwrap_or("web").into(),
            audience: Audience::new(attributes.get("audience").unwrap_or(AUDIENCE)),
            flavour: vault::Flavour::Vault,
        }));
        let (mut sources, mut files) = (Vec::new(), Vec::new());
        for (index, line) in attributes.get("objects").unwrap_or("").lines().enumerate() {
            let mut words = line.split(' ');
            let path = words.next().unwrap();
            let (mut want, mut file) = (Want::default(), path.to_owned());
            for word in words {
                match word.split_once('=').unwrap_or((word, "")) {
                    ("fresh", seconds) => want.fresh = Some(Duration::from_secs(seconds.parse().unwrap())),
                    ("as", name) => name.clone_into(&mut file),
                    _ => want.optional = true,
                }
            }
            let locator = vault::Locator { method: vault::GET.into(), path: path.into(), args: None };
            let locator = Locator::Vault(locator);
            sources.push(Source {
                name: format!("s{index}"),
                access: Arc::clone(&access),
                locator,
                want,
                said: Arc::default(),
            });
            files.push(FileSpec {
                path: PathRule::One(RelPath::parse(&file).unwrap()),
                mode: facts.mode,
                body: Body::Cut { source: index, cut: Cut::Whole },
                version: VersionRule::Content,
                at: None,
            });
        }
        Plan::new(sources, files, "objects")
    }
}

/// What is written into the trail.
#[derive(Clone, Default)]
pub(super) struct Trail(Arc<Mutex<Vec<u8>>>);

impl Write for Trail {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How an engine is set up.
pub(super) struct Setup {
    pub(super) keep: Keep,
    pub(super) manners: Manners,
    pub(super) configured: Option<Duration>,
    pub(super) all_polls: bool,
    /// Whether tokens may be asked for.
    pub(super) issues: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let manners = Manners { batch: 1, fresh: Duration::from_secs(60) };
        Self { keep: Keep::default(), manners, configured: None, all_polls: false, issues: false }
    }
}

pub(super) struct World {
    pub(super) engine: Arc<Engine>,
    pub(super) backend: Arc<Backend>,
    pub(super) maker: Arc<Maker>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    audit: Audit,
    trail: Trail,
}

/// Who mounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) namespace: &'static str,
    pub(super) account: &'static str,
    pub(super) pod: usize,
    pub(super) role: &'static str,
    pub(super) volume: &'static str,
}

impl Who {
    pub(super) fn uid(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.pod)
    }

    /// As the backend names it.
    pub(super) fn name(&self) -> String {
        format!("{}/{}/{}/{}", self.namespace, self.account, self.uid(), self.role)
    }
}

/// Pod `number` of service account `shop/web`.
pub(super) fn web(number: usize) -> Who {
    Who { namespace: "shop", account: "web", pod: number, role: "web", volume: "secrets" }
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let clock = Clock::paused(Wall::from_seconds(1_700_000_000));
        let (backend, maker) = (Backend::new(clock, setup.manners), Maker::new(clock));
        let name = StoreName::parse("vault").unwrap();
        let defaults = Defaults::Vault(vault::Defaults::default());
        let entry = Entry { store: name.clone(), defaults, fresh: setup.configured };
        let (metrics, trail) = (Metrics::new("0", false, clock), Trail::default());
        let audit = Audit::start(&audit::Config::default(), Box::new(trail.clone()), clock, Arc::new(|_| {}));
        let audit = audit.unwrap();
        let engine = Engine::new(Parts {
            clock,
            stores: BTreeMap::from([(name, Arc::clone(&backend) as Arc<dyn Store>)]),
            catalog: Catalog::new([entry]),
            policy: Policy::default(),
            issuer: setup.issues.then(|| Arc::clone(&maker) as Arc<dyn Issuer>),
            version_key: VersionKey(DigestKey::random()),
            limits: Limits { keep: setup.keep, ..Limits::default() },
            metrics: metrics.clone(),
            audit: audit.clone(),
            audit_all_polls: setup.all_polls,
        });
        Self { engine, backend, maker, clock, metrics, audit, trail }
    }

    /// The claims of a good token of this pod.
    pub(super) fn claims(&self, who: &Who) -> Value {
        let now = self.clock.wall().seconds();
        json!({
            "iss": "https://issuer.test", "aud": [AUDIENCE], "nbf": now, "exp": now + 3600, "jti": "token-1",
            "sub": format!("system:serviceaccount:{}:{}", who.namespace, who.account),
            "kubernetes.io": {
                "namespace": who.namespace,
                "serviceaccount": { "name": who.account },
                "pod": { "name": format!("pod-{}", who.pod), "uid": who.uid() },
            },
        })
    }

    pub(super) fn pod(&self, who: &Who, claims: &Value) -> Pod {
        let expires = Wall::from_seconds(claims["exp"].as_i64().unwrap());
        let audience = claims["aud"][0].as_str().unwrap().to_owned();
        let token = PodToken { token: unsigned(claims), expires };
        Pod {
            namespace: who.namespace.to_owned(),
            service_account: who.account.to_owned(),
            name: format!("pod-{}", who.pod),
            uid: who.uid(),
            volume: who.volume.to_owned(),
            tokens: BTreeMap::from([(audience, token)]),
            ..Pod::default()
        }
    }

    /// A mount of 45 s.
    pub(super) async fn mount(&self, who: &Who, objects: &[&str]) -> Result<Vec<String>, Problems> {
        self.mount_with(who, objects, &self.claims(who), Duration::from_secs(45)).await
    }

    pub(super) async fn mount_with(
        &self,
        who: &Who,
        objects: &[&str],
        claims: &Value,
        time: Duration,
    ) -> Result<Vec<String>, Problems> {
        let audience = claims["aud"][0].as_str().unwrap();
        let delivery = self
            .deliver(&self.pod(who, claims), who.role, audience, objects, &Flavour::Driver16, time)
            .await?;
        let text = |file: &model::File| String::from_utf8(file.contents.expose().to_vec()).unwrap();
        Ok(delivery.rendered.files().iter().map(text).collect())
    }

    /// A pod that kubelet gave no token.
    pub(super) async fn mount_without_token(
        &self,
        who: &Who,
        objects: &[&str],
    ) -> Result<Vec<String>, Problems> {
        let pod = Pod { tokens: BTreeMap::new(), ..self.pod(who, &self.claims(who)) };
        let time = Duration::from_secs(45);
        self.deliver(&pod, who.role, AUDIENCE, objects, &Flavour::Driver16, time).await.map(|_| Vec::new())
    }

    /// With the data of a `nodePublishSecretRef`.
    pub(super) async fn mount_published(
        &self,
        who: &Who,
        user: &str,
        object: &str,
    ) -> Result<String, Problems> {
        let publish = Some(BTreeMap::from([("user".to_owned(), user.to_owned())]));
        let pod = Pod { publish, ..self.pod(who, &self.claims(who)) };
        let time = Duration::from_secs(45);
        let delivery = self.deliver(&pod, who.role, AUDIENCE, &[object], &Flavour::Driver16, time).await?;
        let contents = &delivery.rendered.files()[0].contents;
        Ok(String::from_utf8(contents.expose().to_vec()).unwrap())
    }

    /// As the sync controller does it.
    pub(super) async fn sync(&self, who: &Who, objects: &[&str]) -> Result<Delivery, Problems> {
        let pod = self.pod(who, &self.claims(who));
        let time = Duration::from_secs(45);
        self.deliver(&pod, who.role, AUDIENCE, objects, &Flavour::SyncController, time).await
    }

    pub(super) async fn deliver(
        &self,
        pod: &Pod,
        role: &str,
        audience: &str,
        objects: &[&str],
        flavour: &Flavour,
        time: Duration,
    ) -> Result<Delivery, Problems> {
        let parameters = [("objects", objects.join("\n")), ("role", role.to_owned())];
        let parameters = parameters.into_iter().chain([("audience", audience.to_owned())]);
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value)).collect();
        let order = Order {
            dialect: Arc::new(Lines),
            envelope: driver::envelope(driver::request("class", &parameters, pod, flavour)),
            deadline: self.clock.now() + time,
            origin: Origin::Driver,
        };
        self.engine.mount(order).await
    }

    /// Audit lines so far.
    pub(super) async fn lines(&self) -> Vec<Value> {
        // The writer's thread knows nothing of the clock that stands still.
        for _ in 0..2_000 {
            if self.audit.flush(self.clock.now()).await {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let bytes = self.trail.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) fn figure(&self, name: &str) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    pub(super) async fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }
}
