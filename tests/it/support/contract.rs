//! What holds for every answer to a `Mount`, whatever went wrong: its code is final and travelled as such, its text is
//! bounded, stable and without content, and it leaves an audit line and a figure behind.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey::driver::{Flavour, Limit, Mounted, Pod, Refusal, request};
use latchkey::proto::MountRequest;
use serde_json::Value;
use tonic::Code;

use super::agent::Agent;

/// Stands in whatever a test sends that must never come out again.
pub(crate) const CANARY: &str = "canary-4b1d9e-content";

/// The codes after which nobody starts a pod with an empty volume.
pub(crate) const FINAL: [Code; 7] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::NotFound,
    Code::PermissionDenied,
    Code::FailedPrecondition,
    Code::Internal,
    Code::Unauthenticated,
];

/// A request of that pod for a class with these `secrets`, as driver 1.6 sends it.
pub(crate) fn of(pod: &Pod, secrets: &str) -> MountRequest {
    let parameters = BTreeMap::from([("secrets".to_owned(), secrets.to_owned())]);
    request("class", &parameters, pod, &Flavour::Driver16)
}

/// Kubelet's time.
pub(crate) const KUBELET: Option<Duration> = Some(Duration::from_secs(120));

/// Sends one request, and holds its answer against what is true of all.
pub(crate) async fn send(
    agent: &Agent,
    request: &MountRequest,
    timeout: Option<Duration>,
) -> Result<Mounted, Refusal> {
    let mut client = agent.client().limit(Limit::None);
    // Longer than any caller waits: the client itself has no timer, so that what is seen is what travelled.
    let answer = tokio::time::timeout(Duration::from_secs(150), client.mount(request.clone(), timeout));
    let answer = answer.await.expect("the mount is answered at all");
    if let Err(refusal) = &answer {
        let code = Code::from_i32(refusal.wire.expect("a status travelled"));
        assert!(FINAL.contains(&code) && code != Code::Ok, "{code:?} is not final: {}", refusal.text);
        assert_eq!(refusal.wire, Some(refusal.code), "the client made something else of it");
        assert!(refusal.text.len() <= 4096, "{} bytes of text", refusal.text.len());
        assert!(!refusal.text.contains(CANARY), "content in the text: {}", refusal.text);
    }
    answer
}

/// Sends one request that is delivered, and waits for the audit lines of it.
pub(crate) async fn delivered(agent: &Agent, request: &MountRequest, lines: usize) -> Mounted {
    let before = agent.audit().len();
    let mounted = send(agent, request, KUBELET).await.map_err(|refusal| refusal.text).expect("delivered");
    new_lines(agent, before, lines);
    mounted
}

/// What a refusal should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    pub(crate) code: Code,
    pub(crate) reason: &'static str,
    /// Audit lines of each answer.
    pub(crate) lines: usize,
}

/// A refusal with one audit line.
pub(crate) const fn refusal(code: Code, reason: &'static str) -> Expect {
    Expect { code, reason, lines: 1 }
}

pub(crate) const INVALID: Expect = refusal(Code::InvalidArgument, "invalid");

/// Asks twice. Both answers must be the expected one in the same words, and leave exactly their lines and figures.
/// Returns the text.
pub(crate) async fn refused(agent: &Agent, request: &MountRequest, expect: Expect) -> String {
    let outcome = if expect.code == Code::Internal { "failed" } else { "refused" };
    let series = format!(
        "latchkey_mounts_total{{provider=\"latchkey\",outcome=\"{outcome}\",reason=\"{}\"}}",
        expect.reason
    );
    let (figure, lines) = (agent.figure(&series), agent.audit().len());
    let mut texts = Vec::new();
    for _ in 0..2 {
        let Err(refusal) = send(agent, request, KUBELET).await else { panic!("delivered: {expect:?}") };
        assert_eq!(Code::from_i32(refusal.code), expect.code, "{}", refusal.text);
        texts.push(refusal.text);
    }
    assert_eq!(texts[0], texts[1], "equal failures fold into one event");
    assert!(texts[0].starts_with(expect.reason), "the reason leads: {}", texts[0]);
    assert!((agent.figure(&series) - figure - 2.0).abs() < 0.1, "{series} counts both");
    for line in new_lines(agent, lines, 2 * expect.lines) {
        assert_eq!((&line["outcome"], &line["reason"]), (&outcome.into(), &expect.reason.into()), "{line}");
    }
    texts.remove(0)
}

/// The audit lines after the first `before`, which must be so many.
pub(crate) fn new_lines(agent: &Agent, before: usize, count: usize) -> Vec<Value> {
    agent.wait_until("the audit lines are written", |agent| agent.audit().len() >= before + count);
    let lines = agent.audit().split_off(before);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// A text stands in nothing that the agent has written.
pub(crate) fn nowhere(agent: &Agent, secret: &str) {
    let (_, figures) = agent.get("/metrics").expect("figures");
    let audit = std::fs::read_to_string(agent.path("audit.jsonl")).unwrap_or_default();
    for (place, text) in [("log", agent.log()), ("audit trail", audit), ("figures", figures)] {
        assert!(!text.contains(secret), "`{secret}` is in the {place}");
    }
}

/// Bytes of memory that a process holds now, and has held at most.
pub(crate) fn memory(agent: &Agent) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid().as_raw_nonzero()))
        .expect("the process is there");
    let kib = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    (kib("VmRSS:") << 10, kib("VmHWM:") << 10)
}
