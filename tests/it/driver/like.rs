//! The driver-like client behaves as the real driver did in front of a real kubelet.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey::clock::{Clock, Wall};
use latchkey::driver::{Pod, Written, request};
use latchkey::proto::MountResponse;
use tonic::Code;

use crate::support::driver_like::{DriverLike, Outcome, Release};
use crate::support::provider::{Provider, Reply};

const POLL: Duration = Duration::from_secs(120);
const ROTATING: Release = Release::V16 { poll: Some(POLL) };

struct Bed {
    provider: Provider,
    driver: DriverLike,
    clock: Clock,
}

fn bed(release: Release, reply: Reply) -> Bed {
    let provider = Provider::start("p", reply);
    let clock = Clock::paused(Wall::from_seconds(1_800_000_000));
    let pod = Pod { uid: "u".into(), volume: "s".into(), ..Pod::default() };
    let driver = DriverLike::new(provider.path(), clock, release, move |flavour| {
        request("c", &BTreeMap::new(), &pod, flavour)
    });
    Bed { provider, driver, clock }
}

impl Bed {
    async fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    fn calls(&self) -> usize {
        self.provider.seen().len()
    }
}

fn one(content: &str) -> Reply {
    Reply::Files(vec![("a", 0o640, content.into())])
}

fn seen(content: &str) -> Option<BTreeMap<String, (u32, Vec<u8>)>> {
    Some(BTreeMap::from([("a".to_owned(), (0o640, content.as_bytes().to_vec()))]))
}

fn failed(outcome: &Outcome) -> (&'static str, String) {
    let Outcome::Failed(refusal) = outcome else { panic!("{outcome:?}") };
    (refusal.name(), refusal.text.clone())
}

#[tokio::test(start_paused = true)]
async fn a_first_mount_shows_its_files() {
    let mut bed = bed(ROTATING, one("v1"));
    assert_eq!(bed.driver.sees(), None);
    assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced));
    assert_eq!(bed.driver.sees(), seen("v1"));
    assert_eq!(bed.driver.versions(), [("a".into(), "v1".into())]);
    let call = bed.provider.seen().remove(0);
    assert_eq!(call.grpc_timeout.as_deref(), Some("120000m"));
    assert!(call.request.current_object_version.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_interval_throttles_after_a_change_and_not_in_calm() {
    let mut bed = bed(ROTATING, one("v1"));
    bed.driver.publish().await;
    bed.pass(119).await;
    assert_eq!(bed.driver.publish().await, Outcome::Skipped);
    bed.pass(1).await;
    for _ in 0..3 {
        assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Unchanged));
    }
    bed.provider.reply(one("v2"));
    assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced));
    assert_eq!(bed.driver.sees(), seen("v2"));
    assert_eq!(bed.driver.publish().await, Outcome::Skipped);
    assert_eq!(bed.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn without_rotation_a_mounted_volume_is_never_asked_for_again() {
    let mut bed = bed(Release::V16 { poll: None }, one("v1"));
    bed.driver.publish().await;
    bed.pass(100_000).await;
    assert_eq!(bed.driver.publish().await, Outcome::Skipped);
    assert_eq!(bed.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_rotation_is_masked_and_keeps_the_files() {
    let mut bed = bed(ROTATING, one("v1"));
    bed.driver.publish().await;
    bed.pass(120).await;
    bed.provider.reply(Reply::Status(Code::Internal, "no"));
    let outcome = bed.driver.publish().await;
    assert!(matches!(&outcome, Outcome::Masked(refusal) if refusal.text == "no"), "{outcome:?}");
    assert_eq!(bed.driver.sees(), seen("v1"));
}

#[tokio::test(start_paused = true)]
async fn t1_a_code_that_is_not_final_starts_the_pod_over_an_empty_folder() {
    for (code, calls) in [
        (Code::Unavailable, 3),
        (Code::DeadlineExceeded, 1),
        (Code::ResourceExhausted, 1),
        (Code::Aborted, 1),
        (Code::Cancelled, 1),
    ] {
        let mut bed = bed(ROTATING, Reply::Status(code, "later"));
        assert_eq!(failed(&bed.driver.publish().await).1, "later");
        assert_eq!(bed.calls(), calls, "{code:?}");
        assert_eq!(bed.driver.sees(), None);
        bed.provider.reply(one("v1"));
        assert_eq!(bed.driver.publish().await, Outcome::Skipped, "{code:?}");
        assert_eq!(bed.driver.sees(), Some(BTreeMap::new()), "{code:?}");
        bed.pass(121).await;
        assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced));
        assert_eq!(
            bed.driver.sees(),
            Some(BTreeMap::new()),
            "a mount does not reach into a running container"
        );
        bed.driver.restart();
        assert_eq!(bed.driver.sees(), seen("v1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_was_kept_is_as_old_as_it_was_before_the_mount_that_failed() {
    let mut bed = bed(ROTATING, Reply::Status(Code::Aborted, "later"));
    failed(&bed.driver.publish().await);
    bed.pass(121).await;
    failed(&bed.driver.publish().await);
    bed.provider.reply(one("v1"));
    assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced));
    assert_eq!(bed.driver.sees(), seen("v1"));
}

#[tokio::test(start_paused = true)]
async fn after_a_final_code_the_next_publish_mounts() {
    for code in [
        Code::Internal,
        Code::PermissionDenied,
        Code::NotFound,
        Code::Unknown,
        Code::Unauthenticated,
        Code::InvalidArgument,
        Code::FailedPrecondition,
    ] {
        let mut bed = bed(ROTATING, Reply::Status(code, "no"));
        failed(&bed.driver.publish().await);
        bed.provider.reply(one("v1"));
        assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced), "{code:?}");
        assert_eq!(bed.driver.sees(), seen("v1"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_4_mib_starts_the_pod_empty_too() {
    let mut bed = bed(ROTATING, Reply::Files(vec![("a", 0o644, vec![1; 5 << 20])]));
    assert_eq!(failed(&bed.driver.publish().await).0, "ResourceExhausted");
    assert_eq!(bed.driver.publish().await, Outcome::Skipped);
    assert_eq!(bed.driver.sees(), Some(BTreeMap::new()));
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_costs_two_minutes_and_the_pod_waits_on() {
    let mut bed = bed(ROTATING, Reply::Hang);
    let start = bed.clock.now();
    // Either side's timer may be the first at that very moment, and both codes leave the folder.
    let (name, _) = failed(&bed.driver.publish().await);
    assert!(matches!(name, "DeadlineExceeded" | "Canceled"), "{name}");
    assert_eq!((bed.clock.now() - start).as_secs(), 120);
    bed.provider.reply(one("v1"));
    assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced));
    assert_eq!(bed.driver.sees(), seen("v1"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_and_a_long_interval_start_the_pod_empty() {
    let mut bed = bed(Release::V16 { poll: Some(Duration::from_secs(600)) }, Reply::Hang);
    failed(&bed.driver.publish().await);
    bed.provider.reply(one("v1"));
    assert_eq!(bed.driver.publish().await, Outcome::Skipped);
    assert_eq!(bed.driver.sees(), Some(BTreeMap::new()));
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_provider_that_comes_back_is_not_noticed() {
    let mut bed = bed(ROTATING, Reply::Status(Code::Unavailable, "starting"));
    let start = bed.clock.now();
    let clock = bed.clock;
    let (outcome, ()) = futures_util::join!(bed.driver.publish(), async {
        clock.sleep(Duration::from_millis(1500)).await;
        bed.provider.reply(one("v1"));
    });
    assert_eq!(outcome, Outcome::Asked(Written::Replaced));
    assert_eq!((clock.now() - start).as_millis(), 2100, "pauses of 1 s and 1.1 s");
}

#[tokio::test(start_paused = true)]
async fn no_versions_fail_and_no_files_succeed_with_what_was_there() {
    let empty = MountResponse { object_version: Vec::new(), error: None, files: Vec::new() };
    let mut bed = bed(ROTATING, Reply::Raw(empty.clone()));
    assert_eq!(failed(&bed.driver.publish().await), ("Unknown", "missing object versions".to_owned()));
    bed.provider.reply(one("v1"));
    bed.driver.publish().await;
    bed.pass(120).await;
    let version = latchkey::proto::ObjectVersion { id: "a".into(), version: "v2".into() };
    bed.provider.reply(Reply::Raw(MountResponse { object_version: vec![version], ..empty }));
    assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Unchanged));
    assert_eq!(bed.driver.sees(), seen("v1"));
    assert_eq!(bed.driver.versions(), [("a".into(), "v2".into())]);
}

#[tokio::test(start_paused = true)]
async fn driver_1_5_recovers_from_every_code_and_rotates_by_itself() {
    let mut bed = bed(Release::V15, Reply::Status(Code::ResourceExhausted, "later"));
    failed(&bed.driver.publish().await);
    bed.provider.reply(one("v1"));
    assert_eq!(bed.driver.publish().await, Outcome::Asked(Written::Replaced));
    bed.pass(1000).await;
    bed.provider.reply(one("v2"));
    assert_eq!(bed.driver.publish().await, Outcome::Skipped);
    assert_eq!(bed.driver.rotate().await, Outcome::Asked(Written::Replaced));
    assert_eq!(bed.driver.sees(), seen("v2"));
    let call = bed.provider.seen().pop().unwrap();
    assert_eq!(call.grpc_timeout, None);
    assert_eq!(call.request.secrets.as_ref(), b"{}");
    assert_eq!(call.request.current_object_version[0].id, "a");
    bed.provider.reply(Reply::Status(Code::NotFound, "gone"));
    assert_eq!(failed(&bed.driver.rotate().await), ("NotFound", "gone".to_owned()));
    assert_eq!(bed.driver.sees(), seen("v2"));
}
