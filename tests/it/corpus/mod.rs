//! What was recorded of the providers that we replace, mount by mount, replayed against the agent as it is served.
//! `tests/corpus/README.md` says what the recordings are; the cases that we decide otherwise than theirs are marked in
//! the recordings themselves, and [`OUR_SEQUENCES`] has the rest, each with its line in `docs/compat/vault.md`.

pub(crate) mod case;
pub(crate) mod compare;
pub(crate) mod served;
pub(crate) mod stub;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use case::{Case, cases, sequences};
use compare::{Answer, differences};
use served::Served;

/// Sequences that we answer otherwise than the recording wants, by the title, and how the line of `docs/compat/vault.md`
/// begins that says so.
const OUR_SEQUENCES: &[(&str, &str)] = &[
    ("login without a usable token, again", "a login whose reply has no token"),
    ("self-made token, again", "no token of the pod's for the audience"),
];

/// How an answer compares with its case.
pub(crate) enum Verdict {
    Same,
    /// As we want it, and not as it was recorded.
    Ruled,
    Other(Vec<String>),
}

/// `undecided:` takes either answer.
pub(crate) fn judge(case: &Case, answer: &Answer) -> Verdict {
    let as_recorded = differences(answer, &case.expect, &case.wire);
    let Some(why) = &case.differs else {
        return if as_recorded.is_empty() { Verdict::Same } else { Verdict::Other(as_recorded) };
    };
    match &case.latchkey {
        Some(ours) => {
            let found = differences(answer, ours, &case.wire);
            if found.is_empty() { Verdict::Ruled } else { Verdict::Other(found) }
        }
        None if why.starts_with("undecided:") && as_recorded.is_empty() => Verdict::Same,
        None if why.starts_with("undecided:") && answer.outcome.is_err() => Verdict::Ruled,
        None => Verdict::Other(as_recorded),
    }
}

/// The tally of a corpus.
#[derive(Default)]
pub(crate) struct Tally {
    groups: BTreeMap<String, (usize, usize)>,
    ruled: usize,
    others: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, case: &Case, verdict: Verdict) {
        let group = self.groups.entry(case.group.clone()).or_default();
        group.1 += 1;
        match verdict {
            Verdict::Same => group.0 += 1,
            Verdict::Ruled => {
                group.0 += 1;
                self.ruled += 1;
            }
            Verdict::Other(found) => {
                let why = case.differs.as_deref().unwrap_or_default();
                let mut text = format!("{} {} ({why})", case.id, case.title);
                for one in &found {
                    let _ = write!(text, "\n    {one}");
                }
                self.others.push(text);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (group, (same, all)) in other.groups {
            let ours = self.groups.entry(group).or_default();
            *ours = (ours.0 + same, ours.1 + all);
        }
        self.ruled += other.ruled;
        self.others.extend(other.others);
    }

    /// Prints the line that `tests/run` shows, and fails with every difference.
    pub(crate) fn report(self, name: &str) {
        let (same, all) = self.groups.values().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        let groups = self.groups.iter().map(|(group, (same, all))| format!("  {group}: {same} of {all}"));
        let total = format!("corpus {name}: {same} of {all} agree ({} by our own ruling)", self.ruled);
        say(&groups.chain([total]).collect::<Vec<_>>());
        assert!(all > 0, "no cases");
        assert!(self.others.is_empty(), "{} differ:\n{}", self.others.len(), self.others.join("\n"));
    }
}

/// Shows lines whether the test passes or not: what macros print is shown of tests that fail.
fn say(lines: &[String]) {
    let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

/// Replays the cases of a provider, spread over some agents, each before a stub of its own.
async fn replay(provider: &str) {
    let mut shares: Vec<Vec<Case>> = (0..AGENTS).map(|_| Vec::new()).collect();
    for (index, case) in cases(provider).into_iter().enumerate() {
        shares[index % AGENTS].push(case);
    }
    let shares = shares.into_iter().map(|share| {
        tokio::spawn(async move {
            let served = Served::start().await;
            let mut tally = Tally::default();
            for case in &share {
                let answer = served.answer(&served.channel(&case.provider), &case.request).await;
                tally.add(case, judge(case, &answer));
            }
            served.end().await;
            tally
        })
    });
    let mut tally = Tally::default();
    for share in shares.collect::<Vec<_>>() {
        tally.merge(share.await.unwrap());
    }
    tally.report(provider);
}

/// How many agents share the cases: some wait between attempts.
const AGENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_mount_of_the_vault_provider_is_answered_as_there_or_as_ruled() {
    replay("vault").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_mount_of_the_openbao_provider_is_answered_as_there_or_as_ruled() {
    replay("openbao").await;
}

/// Sessions are kept by our own rule, so logins are not compared; each mount's files, versions and failures are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_chain_of_mounts_of_one_pod_gives_the_same_at_each_step() {
    let (mut others, mut steps) = (Vec::new(), 0);
    let served = Served::start().await;
    for provider in ["vault", "openbao"] {
        for sequence in sequences(provider) {
            let channel = served.channel(&sequence.provider);
            let ruled = OUR_SEQUENCES.iter().any(|(title, _)| *title == sequence.title);
            for (index, step) in sequence.steps.iter().enumerate() {
                let answer = served.answer(&channel, &step.request).await;
                steps += 1;
                if ruled {
                    assert!(answer.outcome.is_err(), "{} is no longer ours to decide", sequence.id);
                    continue;
                }
                let answer = Answer { wire: step.wire.clone(), ..answer };
                let found = differences(&answer, &step.expect, &step.wire);
                if !found.is_empty() {
                    others.push(format!("{} {} step {}: {found:?}", sequence.id, sequence.title, index + 1));
                }
            }
        }
    }
    served.end().await;
    say(&[format!("corpus sequences: {} of {steps} mounts agree", steps - others.len())]);
    assert!(steps > 0 && others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn what_we_decide_otherwise_stands_on_the_page_of_differences() {
    let page = std::fs::read_to_string(case::folder().join("../../docs/compat/vault.md")).unwrap();
    for (case, line) in OUR_SEQUENCES {
        assert!(page.lines().any(|row| row.starts_with(&format!("| {line}"))), "{case}: no line `{line}`");
    }
}

#[test]
fn a_difference_of_any_kind_is_found() {
    let mut case = cases("vault").swap_remove(0);
    assert!(case.expect.ok && case.differs.is_none());
    let answer = |path: &str, mode, contents: &str, version: &str, wire: &[case::Call]| Answer {
        outcome: Ok(latchkey::proto::MountResponse {
            files: vec![latchkey::proto::File {
                path: path.into(),
                mode,
                contents: contents.to_owned().into(),
            }],
            object_version: vec![latchkey::proto::ObjectVersion { id: path.into(), version: version.into() }],
            ..Default::default()
        }),
        wire: wire.to_vec(),
    };
    let (wire, version) = (case.wire.clone(), case.expect.versions[0].version.clone());
    let more = [wire.clone(), vec![case::Call { path: "/v1/more".into(), ..wire[1].clone() }]].concat();
    let other = [wire[0].clone(), case::Call { namespace: Some("x".into()), ..wire[1].clone() }];
    let same = |case: &Case, answer: &Answer| matches!(judge(case, answer), Verdict::Same);
    assert!(same(&case, &answer("o", 420, "app-user", &version, &wire)));
    assert!(same(&case, &answer("o", 420, "app-user", &version, &[wire.clone(), wire.clone()].concat())));
    for wrong in [
        answer("p", 420, "app-user", &version, &wire),
        answer("o", 421, "app-user", &version, &wire),
        answer("o", 420, "app-User", &version, &wire),
        answer("o", 420, "app-user", "", &wire),
        answer("o", 420, "app-user", &version, &wire[..1]),
        answer("o", 420, "app-user", &version, &more),
        answer("o", 420, "app-user", &version, &other),
    ] {
        assert!(!same(&case, &wrong));
    }
    case.expect =
        serde_json::from_value(serde_json::json!({ "ok": false, "stage": "fetch", "names": ["o"] })).unwrap();
    let failed = |status, wire: &[case::Call]| Answer { outcome: Err(status), wire: wire.to_vec() };
    assert!(same(&case, &failed(tonic::Status::internal("upstream: secret `o`"), &wire)));
    for wrong in [
        failed(tonic::Status::internal("upstream: secret"), &wire),
        failed(tonic::Status::unavailable("upstream: secret `o`"), &wire),
        failed(tonic::Status::internal("upstream: secret `o`"), &wire[..1]),
        answer("o", 420, "app-user", &version, &wire),
    ] {
        assert!(!same(&case, &wrong));
    }
    case.expect.stage = "objects".to_owned();
    case.wire.clear();
    assert!(same(&case, &failed(tonic::Status::invalid_argument("object `o`"), &[])));
    assert!(!same(&case, &failed(tonic::Status::invalid_argument("object `o`"), &wire[..1])));
}
