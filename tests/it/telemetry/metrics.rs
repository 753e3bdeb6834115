use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use latchkey::clock::{Clock, Wall};
use latchkey::error::Reason;
use latchkey::model::StoreName;
use latchkey::telemetry::{Metrics, Outcome, Refusal, SocketState, Volumes};

const PAGE: &str = include_str!("../../../docs/METRICS.md");

/// Each metric with its type and its labels.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

fn metrics() -> Metrics {
    Metrics::new("1.2.3", true, Clock::system())
}

fn used() -> Metrics {
    let metrics = metrics();
    metrics.mount("latchkey", Outcome::Delivered, true, Duration::from_millis(3));
    for reason in Reason::ALL {
        metrics.mount("latchkey", Outcome::of(reason), false, Duration::from_millis(3));
    }
    metrics.backend(&StoreName::parse("vault").unwrap(), "read", "2xx", Duration::from_millis(3));
    metrics.socket("latchkey", SocketState::Bound);
    Refusal::ALL.into_iter().for_each(|why| metrics.connection_refused(why));
    metrics.volumes().unwrap().delivered("shop", "web-0", "secrets");
    metrics
}

/// Sample lines as (name, label text, value).
fn samples(text: &str) -> Vec<(String, String, f64)> {
    let sample = |line: &str| {
        let (head, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = head.split_once('{').map_or((head, ""), |(n, l)| (n, l.trim_end_matches('}')));
        (name.to_owned(), labels.to_owned(), value.parse().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

fn value(metrics: &Metrics, name: &str, labels: &str) -> Option<f64> {
    samples(&metrics.encode()).into_iter().find(|(n, l, _)| n == name && l == labels).map(|(_, _, v)| v)
}

fn in_code() -> Described {
    let text = used().encode();
    let samples = samples(&text);
    let describe = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let ours = |sample: &str| {
            sample
                .strip_prefix(name)
                .is_some_and(|rest| [suffix, "_bucket", "_sum", "_count"].contains(&rest))
        };
        let labels = samples
            .iter()
            .filter(|(sample, _, _)| ours(sample))
            .flat_map(|(_, labels, _)| labels.split(',').filter_map(|label| label.split_once('=')))
            .map(|(key, _)| key.to_owned())
            .filter(|key| key != "le")
            .collect();
        Some((format!("{name}{suffix}"), (kind.to_owned(), labels)))
    };
    text.lines().filter_map(describe).collect()
}

fn in_page() -> Described {
    let ticked = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').collect();
        let name = ticked(cells.get(1)?).pop().filter(|name| name.starts_with("latchkey_"))?;
        Some((name, (cells[2].trim().to_owned(), ticked(cells[3]).into_iter().collect())))
    };
    PAGE.lines().filter_map(row).collect()
}

#[test]
fn the_page_describes_each_metric_with_its_type_and_labels_and_no_other() {
    assert_eq!(in_code(), in_page());
}

#[test]
fn the_page_names_each_word_that_a_label_takes() {
    let words = PAGE.split_once("## Words").unwrap().1;
    let labels = Reason::ALL
        .map(Reason::label)
        .into_iter()
        .chain(SocketState::ALL.map(SocketState::label))
        .chain(Refusal::ALL.map(Refusal::label))
        .chain(
            [Outcome::Delivered, Outcome::of(Reason::Invalid), Outcome::of(Reason::Bug)].map(Outcome::label),
        );
    for label in labels {
        assert!(words.contains(&format!("`{label}`")), "{label} is not on the page");
    }
    let (refused, failed) = words.split_once("of what failed").unwrap();
    for reason in Reason::ALL {
        let side = if reason.is_refusal() { refused } else { failed };
        assert!(side.contains(&format!("`{reason}`")), "{reason} stands on the wrong side");
    }
}

#[test]
fn the_text_ends_as_openmetrics_ends() {
    assert!(used().encode().ends_with("# EOF\n"));
}

#[test]
fn a_mount_is_counted_under_its_outcome_and_reason_and_timed_once() {
    let metrics = metrics();
    metrics.mount("vault", Outcome::of(Reason::Forbidden), true, Duration::from_millis(700));
    metrics.mount("vault", Outcome::of(Reason::Timeout), true, Duration::from_millis(1));
    metrics.mount("vault", Outcome::Delivered, false, Duration::from_millis(1));
    let mounts = |labels| value(&metrics, "latchkey_mounts_total", labels);
    assert_eq!(mounts(r#"provider="vault",outcome="refused",reason="forbidden""#), Some(1.0));
    assert_eq!(mounts(r#"provider="vault",outcome="failed",reason="timeout""#), Some(1.0));
    assert_eq!(mounts(r#"provider="vault",outcome="delivered",reason="""#), Some(1.0));
    let first = r#"provider="vault",first="true""#;
    assert_eq!(value(&metrics, "latchkey_mount_seconds_count", first), Some(2.0));
    assert_eq!(value(&metrics, "latchkey_mount_seconds_sum", first), Some(0.701));
}

#[test]
fn a_socket_is_in_exactly_one_state() {
    let metrics = metrics();
    for state in SocketState::ALL {
        metrics.socket("aws", state);
        for each in SocketState::ALL {
            let labels = format!(r#"name="aws",state="{}""#, each.label());
            let expected = f64::from(u8::from(each == state));
            assert_eq!(value(&metrics, "latchkey_socket", &labels), Some(expected), "{labels}");
        }
    }
}

#[test]
fn each_count_lands_in_its_own_metric() {
    let metrics = metrics();
    metrics.audit_dropped(2);
    metrics.log_dropped(3);
    metrics.panicked();
    (0..4).for_each(|_| metrics.code_replaced());
    (0..5).for_each(|_| metrics.connection_refused(Refusal::Peer));
    let of = |name| value(&metrics, name, "").unwrap();
    assert_eq!(of("latchkey_audit_dropped_total"), 2.0);
    assert_eq!(of("latchkey_log_dropped_total"), 3.0);
    assert_eq!(of("latchkey_panics_total"), 1.0);
    assert_eq!(of("latchkey_code_replaced_total"), 4.0);
    assert_eq!(value(&metrics, "latchkey_connections_refused_total", r#"why="peer""#), Some(5.0));
}

const VOLUME: &str = "latchkey_volume_last_success_timestamp_seconds";

#[tokio::test(start_paused = true)]
async fn a_failed_poll_leaves_the_last_success_as_it_was_and_keeps_it_visible() {
    let clock = Clock::paused(Wall::from_seconds(1_000));
    let metrics = Metrics::new("1", true, clock);
    let volumes = metrics.volumes().unwrap();
    let seen = || value(&metrics, VOLUME, r#"namespace="shop",pod="web-0",volume="v""#);
    volumes.failed("shop", "web-0", "v");
    assert_eq!(seen(), None, "what never succeeded has no last success");
    volumes.delivered("shop", "web-0", "v");
    clock.sleep(Volumes::SILENT - Duration::from_secs(1)).await;
    volumes.failed("shop", "web-0", "v");
    clock.sleep(Volumes::SILENT - Duration::from_secs(1)).await;
    assert_eq!(seen(), Some(1_000.0));
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(seen(), None, "a volume that fell silent goes");
}

#[test]
fn a_pod_that_is_gone_takes_its_own_series_with_it() {
    let metrics = metrics();
    let volumes = metrics.volumes().unwrap();
    volumes.delivered("shop", "web-0", "v");
    volumes.delivered("shop", "web-1", "v");
    volumes.gone("shop", "web-0");
    let text = metrics.encode();
    assert!(!text.contains("web-0") && text.contains("web-1"));
}

#[tokio::test(start_paused = true)]
async fn volumes_are_bounded_and_the_longest_silent_goes_first() {
    let clock = Clock::paused(Wall::from_seconds(1_000));
    let metrics = Metrics::new("1", true, clock);
    let volumes = metrics.volumes().unwrap();
    for index in 0..Volumes::MAX {
        volumes.delivered("n", &format!("pod-{index}"), "v");
        clock.sleep(Duration::from_millis(1)).await;
    }
    volumes.failed("n", "pod-0", "v");
    clock.sleep(Duration::from_millis(1)).await;
    volumes.delivered("n", "another", "v");
    let text = metrics.encode();
    assert_eq!(samples(&text).iter().filter(|(name, _, _)| name == VOLUME).count(), Volumes::MAX);
    assert!(text.contains(r#"pod="pod-0""#) && !text.contains(r#"pod="pod-1""#) && text.contains("another"));
}

#[test]
fn volumes_can_be_switched_off() {
    let metrics = Metrics::new("1", false, Clock::system());
    assert!(metrics.volumes().is_none());
    assert!(!metrics.encode().contains(VOLUME));
}
