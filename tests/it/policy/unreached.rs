//! What policy does not let through is not even looked for: no name is asked, no connection made. The same class, once
//! the printed line is in the configuration, does both.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use latchkey::audit::{self, Audit};
use latchkey::clock::Clock;
use latchkey::config;
use latchkey::dialect::vault::Vault as Dialect;
use latchkey::driver::{Flavour, envelope, request};
use latchkey::engine::{Delivery, Engine, Limits, Order, Origin, Parts};
use latchkey::error::{Problems, Reason};
use latchkey::model::locator::vault;
use latchkey::model::{Catalog, Defaults, Entry, StoreName, Tls, VersionKey};
use latchkey::net::{Config, Names, Net};
use latchkey::policy::Policy;
use latchkey::secret::DigestKey;
use latchkey::store::Store;
use latchkey::store::vault::Vault;
use latchkey::telemetry::Metrics;
use serde_json::json;

use crate::support::issuer::{claims, holding, unsigned};
use crate::testkit::{Reply, Testkit};

struct Node {
    engine: Arc<Engine>,
    clock: Clock,
    asked: Arc<AtomicUsize>,
}

impl Node {
    /// With a resolver that counts, and by which every name is an address outside the node.
    fn new(kit: &Testkit, policy: Policy) -> Self {
        let (clock, asked) = (Clock::system(), Arc::new(AtomicUsize::new(0)));
        let metrics = Metrics::new("0", false, clock);
        let counted = Arc::clone(&asked);
        let names = Names::of(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))])
        });
        let net = Net::new(Config { names, ..Config::default() }, clock, metrics.clone()).unwrap();
        let store = StoreName::parse("vault").unwrap();
        let defaults = vault::Defaults {
            tls: Tls { ca: Some(kit.ca().into()), ..Tls::default() },
            ..Default::default()
        };
        let entry = Entry { store: store.clone(), defaults: Defaults::Vault(defaults), fresh: None };
        let sink = Box::new(std::io::sink());
        let engine = Engine::new(Parts {
            clock,
            stores: BTreeMap::from([(store, Arc::new(Vault::new(Arc::new(net))) as Arc<dyn Store>)]),
            catalog: Catalog::new([entry]),
            policy,
            issuer: None,
            version_key: VersionKey(DigestKey::random()),
            limits: Limits::default(),
            metrics,
            audit: Audit::start(&audit::Config::default(), sink, clock, Arc::new(|_| {})).unwrap(),
            audit_all_polls: false,
        });
        Self { engine, clock, asked }
    }

    /// A mount of a class that leads to this address.
    async fn mount(&self, address: &str) -> Result<Delivery, Problems> {
        let parameters = [
            ("vaultAddress", address),
            ("roleName", "web"),
            ("objects", "- objectName: o\n  secretPath: secret/data/a\n"),
        ];
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut claims = claims("app");
        claims["aud"] = json!("vault");
        let pod = holding("app", "vault", &unsigned(&claims));
        let envelope = envelope(request("class", &parameters, &pod, &Flavour::Driver16));
        let dialect = Arc::new(Dialect { flavour: vault::Flavour::Vault });
        let deadline = self.clock.now() + Duration::from_secs(2);
        self.engine.mount(Order { dialect, envelope, deadline, origin: Origin::Driver }).await
    }
}

#[tokio::test]
async fn what_is_not_permitted_is_not_even_looked_up() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::empty());
    let elsewhere = [kit.address().to_string(), "https://vault.elsewhere.test:8200".to_owned()];
    let node = Node::new(&kit, Policy::default());
    let mut lines = Vec::new();
    for address in &elsewhere {
        let problems = node.mount(address).await.err().unwrap();
        let text = problems.text();
        assert_eq!(problems.reason(), Reason::Policy, "{text}");
        let line = format!("- \"{address}\"");
        assert!(text.contains("`policy.endpoints.allow`") && text.contains(&line), "the line to add: {text}");
        lines.push(line);
    }
    assert_eq!((kit.connections(), node.asked.load(Ordering::Relaxed)), (0, 0));

    // With those very lines, both are looked for: the literal address is connected to, the name is asked for.
    let text = format!("policy: {{ endpoints: {{ allow: [{}] }} }}", lines.join(", ").replace("- ", ""));
    let node = Node::new(&kit, config::parse(&text, |_| None).unwrap().policy);
    for address in &elsewhere {
        assert_ne!(node.mount(address).await.err().unwrap().reason(), Reason::Policy);
    }
    assert!(kit.connections() > 0 && node.asked.load(Ordering::Relaxed) > 0);
}
