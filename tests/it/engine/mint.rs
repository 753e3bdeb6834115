//! Tokens that the engine asks for where kubelet hands over none: when, for whom, how often, and never for the API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use latchkey::clock::{Clock, Instant};
use latchkey::driver::{Flavour, Pod};
use latchkey::engine::{Issuer, Keep};
use latchkey::error::{Fault, Problem, Problems, Reason};
use latchkey::model::{self, Audience, Endpoint, StoreName, Subject, Token};
use latchkey::secret::Secret;
use serde_json::json;

use super::world::{Setup, Who, World, web};
use crate::support::issuer::unsigned;

/// An API server in memory that does what it is told, and counts what it is asked.
pub(super) struct Maker {
    clock: Clock,
    name: StoreName,
    pub(super) state: Mutex<Told>,
}

#[derive(Default)]
pub(super) struct Told {
    /// What was asked, in order.
    asked: Vec<String>,
    /// It fails so.
    fault: Option<Reason>,
    /// Its tokens are good at the API server too.
    careless: bool,
    /// How much longer than asked its tokens say that they live.
    longer: i64,
}

impl Maker {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, name: StoreName::parse("api-server").unwrap(), state: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    fn told(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.state.lock().unwrap());
    }
}

impl Issuer for Maker {
    fn name(&self) -> &StoreName {
        &self.name
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    fn issue<'a>(
        &'a self,
        subject: &'a Subject,
        pod: &'a model::Pod,
        audience: &'a Audience,
        _: Instant,
    ) -> BoxFuture<'a, Result<Token, Fault>> {
        async move {
            let number = {
                let mut state = self.state.lock().unwrap();
                state.asked.push(format!("{subject} {} {audience}", pod.name));
                state.asked.len()
            };
            self.clock.sleep(Duration::from_millis(20)).await;
            let state = self.state.lock().unwrap();
            if let Some(reason) = state.fault {
                return Err(Fault::never(Problem::new(reason, "the API server was told to fail")));
            }
            let issuer = if state.careless { audience.as_str() } else { "https://issuer.test" };
            let claims = json!({
                "iss": issuer, "aud": [audience.as_str()], "jti": format!("made-{number}"),
                "exp": self.clock.wall().seconds() + 900 + state.longer,
                "sub": format!("system:serviceaccount:{}:{}", subject.namespace, subject.account),
                "kubernetes.io": {
                    "namespace": subject.namespace.as_str(),
                    "serviceaccount": { "name": subject.account.as_str(), "uid": "u" },
                    "pod": { "name": pod.name.as_str(), "uid": pod.uid.as_str() },
                },
            });
            Ok(Token::issued(audience, Secret::from_text(unsigned(&claims)), subject)
                .expect("a token of that subject"))
        }
        .boxed()
    }
}

fn asking() -> World {
    World::new(Setup { issues: true, ..Setup::default() })
}

/// Mounts of a pod that kubelet gave no token.
async fn mount(world: &World, who: &Who) -> Result<(), Problems> {
    world.mount_without_token(who, &["kv/a"]).await.map(drop)
}

async fn for_audience(world: &World, audience: &str, flavour: &Flavour) -> Result<(), Problems> {
    let pod = Pod { tokens: BTreeMap::new(), ..world.pod(&web(1), &world.claims(&web(1))) };
    let time = Duration::from_secs(45);
    world.deliver(&pod, "web", audience, &["kv/a"], flavour, time).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_once_however_many_logins_wait_for_it_and_for_no_kept_session() {
    let world = asking();
    let roles = ["a", "b", "c"].map(|role| Who { role, ..web(1) });
    let mounts = join_all((0..30).map(|index| mount(&world, &roles[index % 3]))).await;
    assert!(mounts.iter().all(Result::is_ok), "{mounts:?}");
    assert_eq!((world.maker.asked(), world.backend.counts().0), (vec!["shop/web pod-1 vault".to_owned()], 3));
    world.pass(1200).await;
    mount(&world, &roles[0]).await.unwrap();
    assert_eq!(world.maker.asked().len(), 1, "a session was there");
    let login = world.lines().await.into_iter().find(|line| line["event"] == "login").unwrap();
    assert_eq!(login["jti"], "made-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_serves_for_four_fifths_of_its_life_which_is_never_taken_for_more_than_was_asked() {
    for longer in [0, 7200] {
        let world = asking();
        world.maker.told(|told| told.longer = longer);
        mount(&world, &Who { role: "a", ..web(1) }).await.unwrap();
        world.pass(715).await;
        mount(&world, &Who { role: "b", ..web(1) }).await.unwrap();
        assert_eq!(world.maker.asked().len(), 1);
        world.pass(6).await;
        mount(&world, &Who { role: "c", ..web(1) }).await.unwrap();
        assert_eq!(world.maker.asked().len(), 2, "longer by {longer} s");
    }
}

#[tokio::test(start_paused = true)]
async fn each_pod_account_and_audience_has_a_token_of_its_own() {
    let world = asking();
    for who in [web(1), web(2), Who { account: "db", ..web(2) }, Who { namespace: "lab", ..web(2) }] {
        mount(&world, &who).await.unwrap();
    }
    for_audience(&world, "other", &Flavour::Driver16).await.unwrap();
    let wanted = [
        "shop/web pod-1 vault",
        "shop/web pod-2 vault",
        "shop/db pod-2 vault",
        "lab/web pod-2 vault",
        "shop/web pod-1 other",
    ];
    assert_eq!(world.maker.asked(), wanted);
}

#[tokio::test(start_paused = true)]
async fn none_is_asked_for_where_kubelet_hands_one_over_even_one_that_has_expired() {
    let world = asking();
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    let mut claims = world.claims(&web(2));
    claims["exp"] = json!(world.clock.wall().seconds() - 120);
    let late = world.mount_with(&web(2), &["kv/a"], &claims, Duration::from_secs(45)).await.unwrap_err();
    assert_eq!((late.reason(), world.maker.asked()), (Reason::Expired, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn none_is_asked_for_the_api_servers_own_audience_nor_shown_where_it_turns_out_to_be_one() {
    let world = asking();
    for audience in
        ["", "kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local", "sts.amazonaws.com"]
    {
        let refused = for_audience(&world, audience, &Flavour::Driver16).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Policy, "{audience}: {refused}");
    }
    assert_eq!((world.maker.asked().len(), world.backend.counts()), (0, (0, 0)));
    world.maker.told(|told| told.careless = true);
    let refused = mount(&world, &web(1)).await.unwrap_err();
    assert_eq!((refused.reason(), world.backend.counts()), (Reason::Policy, (0, 0)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_sync_is_told_to_bring_its_token_and_none_is_asked_for() {
    for issues in [false, true] {
        let world = World::new(Setup { issues, ..Setup::default() });
        let refused = for_audience(&world, "vault", &Flavour::SyncController).await.unwrap_err();
        let text = refused.text();
        assert_eq!((refused.reason(), world.maker.asked().len()), (Reason::Setup, 0), "{text}");
        assert!(text.contains("add `vault` to the controller's `--token-request-audience`"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_option_a_pod_is_told_what_to_set_and_nobody_is_asked() {
    let world = World::new(Setup::default());
    let refused = mount(&world, &web(1)).await.unwrap_err();
    let text = refused.text();
    assert_eq!((refused.reason(), world.maker.asked().len()), (Reason::Setup, 0));
    for told in
        ["`- audience: vault` to `tokenRequests` of CSIDriver", "driver's chart", "`cluster.tokenRequest`"]
    {
        assert!(text.contains(told), "{text}\nlacks {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_and_an_outage_is_not() {
    let world = asking();
    world.maker.told(|told| told.fault = Some(Reason::Setup));
    for _ in 0..3 {
        let refused = mount(&world, &web(1)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Setup, "{refused}");
        assert!(refused.text().contains("store `vault`"), "{refused}");
    }
    assert_eq!(world.maker.asked().len(), 1);
    world.maker.told(|told| told.fault = Some(Reason::Unreachable));
    world.pass(30).await;
    for _ in 0..2 {
        assert_eq!(mount(&world, &web(1)).await.unwrap_err().reason(), Reason::Unreachable);
    }
    assert_eq!((world.maker.asked().len(), world.backend.counts().0), (3, 0));
    world.maker.told(|told| told.fault = None);
    mount(&world, &web(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_kept_are_bounded_and_a_stateless_agent_keeps_none() {
    let keep = Keep { sessions: 2, ..Keep::default() };
    let world = World::new(Setup { issues: true, keep, ..Setup::default() });
    for pod in [1, 2, 3] {
        mount(&world, &web(pod)).await.unwrap();
    }
    mount(&world, &Who { role: "other", ..web(3) }).await.unwrap();
    assert_eq!(world.maker.asked().len(), 3);
    mount(&world, &Who { role: "other", ..web(1) }).await.unwrap();
    assert_eq!(world.maker.asked().len(), 4, "a third was kept");

    let keep = Keep { stateless: true, ..Keep::default() };
    let world = World::new(Setup { issues: true, keep, ..Setup::default() });
    for mounts in 1..=3 {
        mount(&world, &web(1)).await.unwrap();
        assert_eq!(world.maker.asked().len(), mounts);
    }
}
