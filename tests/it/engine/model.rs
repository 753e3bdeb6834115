//! Random lives of a node against a plain model of it: who may get what, how old it may be, how often it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use latchkey::clock::Instant;
use latchkey::engine::Keep;
use latchkey::error::Reason;
use proptest::prelude::*;

use super::backend::Nature;
use super::world::{Setup, Who, World};

const PATHS: [&str; 4] = ["kv/a", "kv/b", "pinned/c", "db/creds"];
const FAULTS: [Reason; 6] = [
    Reason::Unreachable,
    Reason::Upstream,
    Reason::Throttled,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::Login,
];

#[derive(Clone, Debug)]
enum Step {
    Mount {
        who: usize,
        paths: Vec<usize>,
        fresh: Option<u64>,
    },
    /// Several at the same moment, for one object.
    Storm {
        whos: Vec<usize>,
        path: usize,
    },
    Change(usize),
    ReadFault(usize, Option<Reason>),
    LoginFault(usize, Option<Reason>),
    /// The backend takes somebody for someone else from now on, once it logs in again.
    Demote(usize),
    Revoke,
    Pass(u64),
    Tidy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0usize..8;
    let path = 0usize..PATHS.len();
    let fault = proptest::option::of(proptest::sample::select(FAULTS.to_vec()));
    let fresh = proptest::option::of(prop_oneof![Just(0u64), Just(10), Just(200)]);
    let step = prop_oneof![
        8 => (who.clone(), proptest::collection::vec(path.clone(), 1..4), fresh)
            .prop_map(|(who, paths, fresh)| Step::Mount { who, paths, fresh }),
        3 => (proptest::collection::vec(who.clone(), 2..7), path.clone()).prop_map(|(whos, path)| Step::Storm { whos, path }),
        3 => path.clone().prop_map(Step::Change),
        2 => (path, fault.clone()).prop_map(|(path, fault)| Step::ReadFault(path, fault)),
        2 => (who.clone(), fault).prop_map(|(who, fault)| Step::LoginFault(who, fault)),
        1 => who.prop_map(Step::Demote),
        1 => Just(Step::Revoke),
        4 => prop_oneof![1u64..30, 50u64..70, 300u64..4000].prop_map(Step::Pass),
        1 => Just(Step::Tidy),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Pods of two accounts in two namespaces, one of them with another role.
fn who(index: usize) -> Who {
    Who {
        namespace: ["shop", "lab"][index / 4],
        account: ["web", "db"][(index / 2) % 2],
        pod: index,
        role: if index == 7 { "admin" } else { "web" },
        volume: "secrets",
    }
}

/// What the engine may know, in the plainest form.
struct Model {
    /// Each revision of an object, and when it began.
    revisions: BTreeMap<usize, Vec<Instant>>,
    /// Every authority that somebody has had, with the time at which it stopped being the backend's word.
    authorities: BTreeMap<usize, Vec<String>>,
    /// What each was last given, with its content.
    given: BTreeSet<(usize, String)>,
    issued: BTreeSet<String>,
}

/// The content that a file must have: whose it is, and which revision.
fn parts(text: &str) -> (String, String, usize) {
    let mut words = text.split(' ');
    let (authority, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let revision = words.next().unwrap().trim_start_matches('r').parse().unwrap();
    (authority, path, revision)
}

impl Model {
    fn new(world: &World) -> Self {
        let now = world.clock.now();
        let authority = |index: usize| vec![format!("{}/{}", who(index).namespace, who(index).account)];
        Self {
            revisions: (0..PATHS.len()).map(|path| (path, vec![now])).collect(),
            authorities: (0..8).map(|index| (index, authority(index))).collect(),
            given: BTreeSet::new(),
            issued: BTreeSet::new(),
        }
    }

    /// Whatever is delivered must be somebody's own, and no older than it may be.
    fn judge(&mut self, index: usize, text: &str, fresh: Duration, out: bool, began: Instant) {
        let (authority, path, revision) = parts(text);
        assert!(
            self.authorities[&index].contains(&authority),
            "{:?} got what {authority} is given: {text}",
            who(index)
        );
        let number = PATHS.iter().position(|known| *known == path).unwrap();
        if path == "db/creds" {
            assert!(self.issued.insert(text.to_owned()), "handed out twice: {text}");
            return;
        }
        let keep = Keep::default();
        let limit = if path.starts_with("pinned") { keep.pinned.max(fresh) } else { fresh };
        // When the revision that was delivered was overtaken: it may be served for so long from then on.
        if let Some(overtaken) = self.revisions[&number].get(revision + 1) {
            let grace = if out { keep.stale_max } else { Duration::ZERO };
            assert!(
                began - *overtaken <= limit + grace,
                "{text} is {:?} too old",
                (began - *overtaken).saturating_sub(limit + grace)
            );
        }
        self.given.insert((index, format!("{authority} {path}")));
    }
}

/// A node and the model of it.
struct Life {
    world: World,
    model: Model,
}

/// How old an object may be that nobody wishes otherwise.
const USUAL: Duration = Duration::from_secs(60);

impl Life {
    fn begin() -> Self {
        let world = World::new(Setup::default());
        {
            let mut state = world.backend.state();
            state.nature.insert("db/creds".to_owned(), Nature::Leased);
            state.nature.insert("pinned/c".to_owned(), Nature::Pinned);
            state.life = Some(Duration::from_secs(1800));
        }
        let model = Model::new(&world);
        Self { world, model }
    }

    async fn step(&mut self, step: Step) {
        let backend = &self.world.backend;
        match step {
            Step::Mount { who, paths, fresh } => self.mount(who, paths, fresh).await,
            Step::Storm { whos, path } => self.storm(&whos, path).await,
            // What is pinned never changes.
            Step::Change(2) => {}
            Step::Change(path) => {
                backend.change(PATHS[path]);
                self.model.revisions.get_mut(&path).unwrap().push(self.world.clock.now());
            }
            Step::ReadFault(path, fault) => {
                let mut state = backend.state();
                state.read_fault.remove(PATHS[path]);
                state.read_fault.extend(fault.map(|fault| (PATHS[path].to_owned(), fault)));
            }
            Step::LoginFault(index, fault) => {
                let mut state = backend.state();
                state.login_fault.remove(&who(index).name());
                state.login_fault.extend(fault.map(|fault| (who(index).name(), fault)));
            }
            Step::Demote(index) => {
                let all = self.model.authorities.get_mut(&index).unwrap();
                let authority = format!("demoted-{index}-{}", all.len());
                all.push(authority.clone());
                backend.state().authority.insert(who(index).name(), authority);
            }
            Step::Revoke => backend.revoke_all(),
            Step::Pass(seconds) => self.world.pass(seconds).await,
            Step::Tidy => self.world.engine.tidy().await,
        }
    }

    async fn mount(&mut self, index: usize, mut paths: Vec<usize>, fresh: Option<u64>) {
        let world = &self.world;
        paths.sort_unstable();
        paths.dedup();
        let wish = fresh.map_or(String::new(), |fresh| format!(" fresh={fresh}"));
        let objects: Vec<String> = paths.iter().map(|path| format!("{}{wish}", PATHS[*path])).collect();
        let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
        let (began, reads, before) = (world.clock.now(), world.backend.counts().1, stale(world));
        let got = world.mount(&who(index), &objects).await;
        let reads = world.backend.counts().1 - reads;
        let out = stale(world) > before + 0.5;
        // An object is read once, or twice where its session was not believed.
        assert!(reads <= 2 * paths.len(), "{reads} reads for {paths:?}");
        for text in got.into_iter().flatten() {
            let (authority, path, _) = parts(&text);
            let held = self.model.given.contains(&(index, format!("{authority} {path}")));
            assert!(!out || held || reads > 0, "last good for one that never had it: {text}");
            self.model.judge(index, &text, fresh.map_or(USUAL, Duration::from_secs), out, began);
        }
    }

    async fn storm(&mut self, whos: &[usize], path: usize) {
        let world = &self.world;
        let mounts: Vec<Who> = whos.iter().map(|index| who(*index)).collect();
        let (began, counts, before) = (world.clock.now(), world.backend.counts(), stale(world));
        let (revoked, failing) = {
            let state = world.backend.state();
            (!state.revoked.is_empty(), state.read_fault.contains_key(PATHS[path]))
        };
        let wanted = [PATHS[path]];
        let got = join_all(mounts.iter().map(|who| world.mount(who, &wanted))).await;
        let (logins, reads) = world.backend.counts();
        let (logins, reads) = (logins - counts.0, reads - counts.1);
        let pods: BTreeSet<_> = whos.iter().collect();
        assert!(logins <= pods.len() * if revoked { 2 } else { 1 }, "a storm of {logins} logins");
        // An identity whose word changed may still have a session of the old one.
        let identities = whos.iter().map(|index| match self.model.authorities[index].as_slice() {
            [authority] => (authority.clone(), who(*index).role),
            _ => (format!("demoted-{index}"), ""),
        });
        let most = if path == 3 { whos.len() * 2 } else { identities.collect::<BTreeSet<_>>().len() };
        // A failure is kept for nobody: who logs in first comes too late for the read of those who had a session.
        let most = if failing { most * 2 } else { most };
        assert!(revoked || reads <= most, "{reads} reads, {most} at most");
        let out = stale(world) > before + 0.5;
        for (index, got) in whos.iter().zip(got) {
            for text in got.into_iter().flatten() {
                self.model.judge(*index, &text, USUAL, out, began);
            }
        }
    }
}

fn stale(world: &World) -> f64 {
    world.figure("latchkey_cache_total{store=\"vault\",result=\"stale\"}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_given_anybody_elses_nor_anything_too_old_nor_is_anything_read_too_often(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut life = Life::begin();
            for step in steps {
                life.step(step).await;
            }
        });
    }
}
