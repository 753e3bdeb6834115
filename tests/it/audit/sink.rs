use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::audit::{Audit, Caller, Config, Event, Line, Outcome, Unrecorded};
use latchkey::clock::{Clock, Wall};
use latchkey::error::Reason;

#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn start(config: &Config, stdout: Box<dyn Write + Send>) -> (Audit, Count) {
    let count = Count::default();
    let counted = count.clone();
    let on_dropped = Arc::new(move |lines| {
        counted.0.fetch_add(lines, Ordering::SeqCst);
    });
    (Audit::start(config, stdout, Clock::system(), on_dropped).unwrap(), count)
}

fn to_file(path: &Path) -> Config {
    Config { file: Some(path.to_owned()), ..Config::default() }
}

fn line(object: &str) -> Line<'_> {
    let line = Line::new(Wall::from_seconds(0), Event::Deliver, Caller::Driver, Outcome::Changed);
    Line { object: Some(object), ..line }
}

async fn flush(audit: &Audit) -> bool {
    audit.flush(Clock::system().now() + Duration::from_secs(10)).await
}

fn objects(text: &str) -> Vec<String> {
    let object = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["object"].as_str().unwrap().to_owned()
    };
    text.lines().map(object).collect()
}

fn read(path: &Path) -> Vec<String> {
    objects(&fs::read_to_string(path).unwrap())
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    (folder, path)
}

/// A pipe with a reader that does not read, full to the brim.
fn stuck_pipe(path: &Path) -> File {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    let reader = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let writer = rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let mut writer = File::from(writer);
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    File::from(reader)
}

/// Fills a queue whose writer is stuck with one line in hand.
async fn fill(audit: &Audit, subjects: usize, each: usize) {
    for subject in 0..subjects {
        for _ in 0..each {
            audit.record(&subject.to_string(), &[line("filling")]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn lines_are_appended_to_a_file_of_its_owner_alone() {
    let (_folder, path) = folder();
    for object in ["one", "two"] {
        let (audit, count) = start(&to_file(&path), Box::new(io::sink()));
        audit.record("s", &[line(object), line("more")]).await.unwrap();
        assert!(flush(&audit).await);
        assert_eq!(count.get(), 0);
    }
    assert_eq!(read(&path), ["one", "more", "two", "more"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn lines_go_to_stdout_where_no_file_is_named() {
    /// A terminal at its worst: one byte at a time, interrupted, or full.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>, u32);
    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 % 97 {
                7 => Err(io::ErrorKind::WouldBlock.into()),
                8 => Err(io::ErrorKind::Interrupted.into()),
                _ => {
                    self.0.lock().unwrap().push(bytes[0]);
                    Ok(1)
                }
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let page = Page::default();
    let (audit, _) = start(&Config::default(), Box::new(page.clone()));
    audit.record("s", &[line("one"), line("two")]).await.unwrap();
    assert!(flush(&audit).await);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_eq!(objects(&text), ["one", "two"]);
}

#[tokio::test]
async fn a_file_that_was_moved_or_deleted_is_opened_again() {
    let (folder, path) = folder();
    let (audit, count) = start(&to_file(&path), Box::new(io::sink()));
    audit.record("s", &[line("one")]).await.unwrap();
    assert!(flush(&audit).await);
    let moved = folder.path().join("audit.log.1");
    fs::rename(&path, &moved).unwrap();
    audit.record("s", &[line("two")]).await.unwrap();
    assert!(flush(&audit).await);
    assert_eq!((read(&moved), read(&path)), (vec!["one".to_owned()], vec!["two".to_owned()]));
    fs::remove_file(&path).unwrap();
    audit.record("s", &[line("three")]).await.unwrap();
    assert!(flush(&audit).await);
    assert_eq!(read(&path), ["three"]);
    assert_eq!(count.get(), 0);
}

#[test]
fn eight_threads_lose_nothing_and_keep_their_order() {
    let (_folder, path) = folder();
    let config = Config { queue_lines: 64, ..to_file(&path) };
    let (audit, count) = start(&config, Box::new(io::sink()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let audit = audit.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for number in 0..10_000 {
                        let object = format!("{thread}/{number}");
                        audit.record(&thread.to_string(), &[line(&object)]).await.unwrap();
                    }
                });
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert!(runtime.block_on(flush(&audit)));
    assert_eq!(count.get(), 0);
    let found = read(&path);
    assert_eq!(found.len(), 80_000);
    for thread in 0..8 {
        let own: Vec<_> = found.iter().filter(|object| object.starts_with(&format!("{thread}/"))).collect();
        assert!(own.iter().enumerate().all(|(number, object)| **object == format!("{thread}/{number}")));
    }
}

#[tokio::test]
async fn f_53_a_blocked_sink_costs_a_second_and_lines_that_are_counted() {
    let (_folder, path) = folder();
    let _reader = stuck_pipe(&path);
    let (audit, count) = start(&Config { queue_lines: 8, ..to_file(&path) }, Box::new(io::sink()));
    fill(&audit, 4, 2).await;
    let clock = Clock::system();
    let before = clock.now();
    assert_eq!(audit.record("late", &[line("lost"), line("lost")]).await, Ok(()));
    let took = clock.now() - before;
    assert!((Audit::WAIT..Audit::WAIT + Duration::from_millis(900)).contains(&took), "{took:?}");
    assert_eq!(count.get(), 2);
    assert!(!audit.flush(clock.now() + Duration::from_millis(20)).await, "it says that lines are left");
}

#[tokio::test]
async fn a_flood_of_one_subject_loses_its_own_lines_only() {
    let (_folder, path) = folder();
    let mut reader = stuck_pipe(&path);
    let (audit, count) = start(&Config { queue_lines: 64, ..to_file(&path) }, Box::new(io::sink()));
    let flood: Vec<_> = (0..100).map(|_| audit.record("flood", &[line("flood")])).collect();
    let clock = Clock::system();
    let before = clock.now();
    for other in 0..6 {
        audit.record(&format!("other-{other}"), &[line("other")]).await.unwrap();
    }
    assert!(clock.now() - before < Duration::from_millis(500), "others do not wait");
    drop(flood);
    assert_eq!(count.get(), 100 - 16, "a quarter of the queue is the flood's, what was given up is counted");
    let mut text = String::new();
    while objects(text.trim_start_matches('\n')).len() < 16 + 6 {
        let mut some = [0; 65536];
        match reader.read(&mut some) {
            Ok(more) => text.push_str(std::str::from_utf8(&some[..more]).unwrap()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert!(flush(&audit).await);
    let found = objects(text.trim_start_matches('\n'));
    assert_eq!(found.iter().filter(|object| *object == "other").count(), 6);
}

#[tokio::test]
async fn who_waits_is_served_when_there_is_room_again() {
    let (_folder, path) = folder();
    let mut reader = stuck_pipe(&path);
    let (audit, count) = start(&Config { queue_lines: 8, ..to_file(&path) }, Box::new(io::sink()));
    fill(&audit, 4, 2).await;
    let waiting = audit.record("late", &[line("late")]);
    let drained = tokio::task::spawn_blocking(move || {
        let mut some = [0; 65536];
        while reader.read(&mut some).is_ok() {}
        reader
    });
    waiting.await.unwrap();
    let _reader = drained.await.unwrap();
    assert!(flush(&audit).await);
    assert_eq!(count.get(), 0);
}

#[tokio::test]
async fn lines_of_a_mount_larger_than_the_queue_are_taken_when_they_stand_alone() {
    let (_folder, path) = folder();
    let (audit, count) = start(&Config { queue_lines: 8, ..to_file(&path) }, Box::new(io::sink()));
    audit.record("s", &[line("o"); 500]).await.unwrap();
    assert!(flush(&audit).await);
    assert_eq!((read(&path).len(), count.get()), (500, 0));
}

#[tokio::test]
async fn long_lines_take_the_room_that_they_need() {
    let (_folder, path) = folder();
    let _reader = stuck_pipe(&path);
    let (audit, count) = start(&Config { queue_lines: 8, ..to_file(&path) }, Box::new(io::sink()));
    let long = "x".repeat(1500);
    let waiting: Vec<_> = (0..8).map(|n| audit.record(&n.to_string(), &[line(&long)])).collect();
    drop(waiting);
    assert_eq!(count.get(), 4);
}

#[tokio::test]
async fn required_lines_are_written_when_record_returns() {
    let (_folder, path) = folder();
    let (audit, _) = start(&Config { required: true, ..to_file(&path) }, Box::new(io::sink()));
    for number in 0..200 {
        audit.record("s", &[line("o")]).await.unwrap();
        assert_eq!(read(&path).len(), number + 1);
    }
}

#[tokio::test]
async fn a_required_sink_that_fails_fails_the_mount_and_mends_itself() {
    let (folder, path) = folder();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path_inside = inner.join("audit.log");
    let (audit, count) = start(&Config { required: true, ..to_file(&path_inside) }, Box::new(io::sink()));
    fs::rename(&inner, &path).unwrap();
    assert_eq!(audit.record("s", &[line("lost"), line("lost")]).await, Err(Unrecorded::Sink));
    assert_eq!(count.get(), 2);
    fs::rename(&path, &inner).unwrap();
    assert_eq!(audit.record("s", &[line("kept")]).await, Ok(()));
    assert_eq!(read(&path_inside), ["kept"]);
}

#[tokio::test]
async fn a_sink_that_fails_is_counted_and_fails_no_mount_unless_required() {
    let (audit, count) = start(&to_file(Path::new("/dev/full")), Box::new(io::sink()));
    assert_eq!(audit.record("s", &[line("a"), line("b")]).await, Ok(()));
    assert!(flush(&audit).await);
    assert_eq!(count.get(), 2);
}

/// Runs itself once more as a process in which a file that grows too large is an error, not a signal.
#[tokio::test]
async fn a_line_torn_by_a_full_disk_spoils_no_other() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CHILD: &str = "LATCHKEY_TEST_TORN";
    if std::env::var_os(CHILD).is_none() {
        let status = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "audit::sink::a_line_torn_by_a_full_disk_spoils_no_other"])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let (_folder, path) = folder();
    let (audit, count) = start(&to_file(&path), Box::new(io::sink()));
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(200), ..before }).unwrap();
    audit.record("s", &[line("whole"), line("torn"), line("lost")]).await.unwrap();
    assert!(flush(&audit).await);
    assert_eq!(count.get(), 2);
    setrlimit(Resource::Fsize, before).unwrap();
    audit.record("s", &[line("after")]).await.unwrap();
    assert!(flush(&audit).await);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!((objects(lines[0]), objects(lines[2])), (vec!["whole".to_owned()], vec!["after".to_owned()]));
}

#[tokio::test]
async fn a_required_sink_that_is_blocked_fails_the_mount_within_a_second() {
    let (_folder, path) = folder();
    let _reader = stuck_pipe(&path);
    let (audit, _) = start(&Config { required: true, ..to_file(&path) }, Box::new(io::sink()));
    let clock = Clock::system();
    let before = clock.now();
    assert_eq!(audit.record("s", &[line("o")]).await, Err(Unrecorded::Full));
    let took = clock.now() - before;
    assert!((Audit::WAIT..Audit::WAIT + Duration::from_millis(900)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_yet_is_no_reason_not_to_start() {
    let (_folder, path) = folder();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let (audit, count) = start(&to_file(&path), Box::new(io::sink()));
    audit.record("s", &[line("o")]).await.unwrap();
    assert!(flush(&audit).await);
    assert_eq!(count.get(), 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let config = to_file(Path::new("/nowhere/audit.log"));
    let problem = Audit::start(&config, Box::new(io::sink()), Clock::system(), Arc::new(|_| {})).unwrap_err();
    assert_eq!(problem.reason, Reason::Setup);
    assert!(problem.to_string().contains("audit.sink") && problem.to_string().contains("/nowhere/audit.log"));
}

#[test]
fn the_last_handle_leaves_nothing_behind() {
    let (_folder, path) = folder();
    let (audit, _) = start(&to_file(&path), Box::new(io::sink()));
    for number in 0..1_000 {
        drop(audit.record(&number.to_string(), &[line("o")]));
    }
    drop(audit);
    let clock = Clock::system();
    let end = clock.now() + Duration::from_secs(10);
    while read_whole(&path) < 1_000 && clock.now() < end {
        std::thread::yield_now();
    }
    assert_eq!(read_whole(&path), 1_000);
}

fn read_whole(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().matches('\n').count()
}
