use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::clock::{Clock, Wall};
use latchkey::telemetry::log::{self, Format, Level, LogGuard};
use latchkey::telemetry::{Config, Metrics, install_panic_hook};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that takes nothing before it is let go.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error: the sender is gone, so nobody holds us any more.
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn metrics() -> Metrics {
    Metrics::new("1", false, Clock::system())
}

/// What is written when `body` logs.
fn logged(format: Format, level: Level, body: impl FnOnce(&LogGuard)) -> String {
    let page = Page::default();
    let config = Config { format, level };
    let (subscriber, guard) = log::build(&config, Box::new(page.clone()), &metrics()).unwrap();
    tracing::subscriber::with_default(subscriber, || body(&guard));
    assert!(guard.flush(Duration::from_secs(10)));
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn dropped(metrics: &Metrics) -> u64 {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix("latchkey_log_dropped_total ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_json_line_is_one_object_with_the_time_of_the_clock() {
    let before = Clock::system().wall();
    let text = logged(Format::Json, Level::Info, |_| {
        tracing::info!(target: "latchkey::serve", socket = "a\nb\u{202e}", "bound");
    });
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "bound");
    assert_eq!(line["socket"], "a\nb\u{202e}");
    assert_eq!(line["level"], "INFO");
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z'));
    let time = Wall::parse(time).unwrap();
    assert!(before <= time && time <= Clock::system().wall());
}

#[test]
fn p_07_no_text_forges_a_second_line_or_reaches_the_terminal() {
    let text = logged(Format::Text, Level::Info, |_| {
        tracing::info!(target: "latchkey", "one\ntwo \x1b[31mred \u{202e}back");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains(['\x1b', '\u{202e}']) && text.contains("red"), "{text:?}");
}

#[test]
fn targets_of_other_crates_stay_at_info_whatever_the_level_says() {
    for format in Format::ALL {
        let text = logged(format, Level::Trace, |guard| {
            guard.switch().set(Level::Trace);
            tracing::trace!(target: "hyper::proto", "foreign trace");
            tracing::debug!(target: "latchkeyhole", "foreign debug");
            tracing::info!(target: "h2", "foreign info");
            tracing::trace!(target: "latchkey::engine", "our trace");
            tracing::debug!(target: "latchkey", "our debug");
            let foreign = tracing::debug_span!(target: "tower", "span", token = "canary-of-a-span");
            foreign.in_scope(|| tracing::info!(target: "latchkey", "inside"));
        });
        assert!(!text.contains("foreign trace") && !text.contains("foreign debug"), "{text}");
        assert!(!text.contains("canary-of-a-span"), "{text}");
        for expected in ["foreign info", "our trace", "our debug", "inside"] {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
    }
}

#[test]
fn a_quiet_level_quiets_other_crates_too() {
    let text = logged(Format::Json, Level::Warn, |_| {
        tracing::info!(target: "h2", "foreign info");
        tracing::info!(target: "latchkey", "our info");
        tracing::warn!(target: "h2", "foreign warning");
    });
    assert!(!text.contains("info") && text.contains("foreign warning"), "{text}");
}

#[test]
fn the_level_changes_while_it_runs() {
    let text = logged(Format::Json, Level::Info, |guard| {
        let log = |round: u32| tracing::debug!(target: "latchkey::switch", round, "same place");
        log(1);
        guard.switch().set(Level::Debug);
        assert_eq!(guard.switch().get(), Level::Debug);
        log(2);
        guard.switch().set(Level::Error);
        log(3);
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(r#""round":2"#), "{text}");
}

fn stuck(metrics: &Metrics, lines: usize, text: &str) -> (Sender<()>, LogGuard, Duration) {
    let (release, gate) = channel();
    let (subscriber, guard) = log::build(&Config::default(), Box::new(Stuck(gate)), metrics).unwrap();
    let start = Clock::system().now();
    tracing::subscriber::with_default(subscriber, || {
        (0..lines).for_each(|_| tracing::info!(target: "latchkey", text, "line"));
    });
    (release, guard, Clock::system().now() - start)
}

#[test]
fn f_53_a_reader_who_stopped_costs_lines_and_no_time() {
    let metrics = metrics();
    let (release, guard, took) = stuck(&metrics, 20_000, "");
    assert!(took < Duration::from_secs(5), "{took:?}");
    // What waits, and what the thread had taken before: a queue's worth each at most.
    let lost = dropped(&metrics);
    assert!((20_000 - 2 * 4096..=20_000 - 4096).contains(&lost), "{lost}");
    assert!(!guard.flush(Duration::from_millis(20)), "nothing was written yet");
    drop(release);
    assert!(guard.flush(Duration::from_secs(10)));
    assert_eq!(dropped(&metrics), lost);
}

#[test]
fn f_53_long_lines_are_bounded_by_their_bytes() {
    let metrics = metrics();
    let (release, guard, _) = stuck(&metrics, 100, &"x".repeat(1 << 20));
    assert!(dropped(&metrics) >= 90);
    drop(release);
    assert!(guard.flush(Duration::from_secs(10)));
}

#[test]
fn a_reader_who_is_gone_is_counted() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let metrics = metrics();
    let (subscriber, guard) = log::build(&Config::default(), Box::new(Gone), &metrics).unwrap();
    tracing::subscriber::with_default(subscriber, || tracing::info!(target: "latchkey", "line"));
    assert!(guard.flush(Duration::from_secs(10)));
    assert_eq!(dropped(&metrics), 1);
}

#[test]
fn a_panic_is_logged_with_its_place_and_thread_and_without_its_payload() {
    let metrics = metrics();
    let page = Page::default();
    let (subscriber, guard) = log::build(&Config::default(), Box::new(page.clone()), &metrics).unwrap();
    let before = std::panic::take_hook();
    install_panic_hook(&metrics);
    let panicking = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        tracing::subscriber::with_default(subscriber, || panic!("canary-of-a-panic"));
    });
    let ended = panicking.unwrap().join();
    std::panic::set_hook(before);
    assert!(ended.is_err());
    assert!(guard.flush(Duration::from_secs(10)));
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("canary-of-a-panic"), "{text}");
    assert!(text.contains("telemetry/log.rs:") && text.contains(r#""thread":"probe""#), "{text}");
    assert!(!metrics.encode().contains("latchkey_panics_total 0"));
}

#[test]
fn words_of_format_and_level_are_read_back() {
    assert!(Format::ALL.into_iter().all(|format| format.label().parse() == Ok(format)));
    assert!(Level::ALL.into_iter().all(|level| level.label().parse() == Ok(level)));
    assert!("verbose".parse::<Level>().is_err() && "yaml".parse::<Format>().is_err());
}
