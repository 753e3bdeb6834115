//! `latchkey demo`: what it prints is what happened, and nothing of it stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use latchkey::clock::Clock;
use latchkey::driver::{Client, Flavour, Mounted, Pod, Refusal, request};
use latchkey::model::Class;

use crate::support::agent::{files, shipped};
use crate::support::contract::KUBELET;

const OLD: &str = "correct-horse-battery-staple";
const NEW: &str = "hunter2-but-longer";

fn demo(temporary: &Path) -> Command {
    let mut command = Command::new(shipped());
    command.arg("demo").env_clear().env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// The lines of the audit trail that were printed in full.
fn printed_trail(out: &str) -> Vec<serde_json::Value> {
    out.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect()
}

#[test]
fn the_demo_shows_a_delivery_a_rotation_a_refusal_and_the_trail_and_cleans_up() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path()).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{out}"));
    // In the order in which they are told.
    let story = [
        at("prod/stripe"),
        at("latchkey.sock"),
        at("speaks v1alpha1"),
        at("Mount #1 → 3 files"),
        at(OLD),
        at("Mount #2 → 3 files"),
        at(NEW),
        at("nothing to write"),
        at("code = PermissionDenied"),
        at("`shop/batch` is not among the readers"),
        at("\"event\":\"deliver\""),
        at("deliver  prod/db      shop/web         changed"),
        at("deliver  prod/stripe  shop/web         unchanged"),
        at("refuse   prod/db      shop/batch       refused    forbidden"),
        at("Cleaned up"),
    ];
    assert!(story.is_sorted(), "{story:?}\n{out}");
    assert!(out.contains("0440") && out.contains("..data →"), "modes and the driver's layout:\n{out}");
    assert!(out.contains("deliver  prod/banner  shop/web         missing"), "{out}");
    assert_eq!(printed_trail(&out).len(), 2, "the first and the last line in full");
    assert!(is_empty(temporary.path()), "its folder is gone");
}

/// A demo that is kept, ended with the test.
struct Kept {
    child: Child,
    out: String,
    temporary: tempfile::TempDir,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kept {
    /// Reads until it says how to end it.
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = demo(temporary.path()).arg("--keep").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut out = String::new();
        while !out.contains("Ctrl-C ends") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended:\n{out}")).unwrap();
            out += &line;
            out.push('\n');
        }
        // Its last line would find nobody to read it otherwise.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, out, temporary }
    }

    /// What follows these words on their line.
    fn after(&self, words: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.trim().strip_prefix(words));
        line.unwrap_or_else(|| panic!("no `{words}`:\n{}", self.out)).trim()
    }

    async fn mount(&self, account: &str) -> Result<Mounted, Refusal> {
        let manifest = PathBuf::from(self.after("latchkey mount -f").split(' ').next().unwrap());
        let class = Class::parse_all(&fs::read_to_string(manifest).unwrap()).unwrap().remove(0);
        let pod = Pod {
            namespace: "shop".to_owned(),
            service_account: account.to_owned(),
            name: format!("{account}-9"),
            uid: "99999999-0000-4000-8000-000000000000".to_owned(),
            volume: "secrets".to_owned(),
            ..Pod::default()
        };
        let request = request(&class.name, &class.parameters, &pod, &Flavour::Driver16);
        Client::new(self.after("socket:"), Clock::system()).mount(request, KUBELET).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_demo_serves_the_bytes_the_refusal_and_the_lines_that_it_printed() {
    let mut kept = Kept::start();
    let mounted = kept.mount("web").await.map_err(|refusal| refusal.text).unwrap();
    // The last time that a file is shown is how it stands.
    let shown: BTreeMap<&str, (&str, &str)> = kept
        .out
        .lines()
        .filter_map(|line| line.trim().strip_prefix("├─ "))
        .map(|line| {
            let (path, rest) = line.split_once(' ').unwrap();
            let (mode, content) = rest.trim().split_once("  ").unwrap();
            (path, (mode, content))
        })
        .collect();
    let served: BTreeMap<String, (String, String)> = files(&mounted)
        .into_iter()
        .map(|(path, (mode, bytes))| {
            (path.to_owned(), (format!("{mode:04o}"), String::from_utf8(bytes.to_vec()).unwrap()))
        })
        .collect();
    assert_eq!(shown.len(), 3);
    for (path, (mode, content)) in &shown {
        assert_eq!(served[*path], ((*mode).to_owned(), (*content).to_owned()), "{path}");
    }
    assert_eq!(served.len(), 3);

    let Err(refusal) = kept.mount("batch").await else { panic!("delivered to shop/batch") };
    for line in refusal.text.lines() {
        assert!(kept.out.contains(line), "printed otherwise: {line}");
    }

    let trail = fs::read_to_string(kept.after("tail -f")).unwrap();
    let written: Vec<serde_json::Value> =
        trail.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(written.contains(&printed_trail(&kept.out)[0]), "the line that was printed in full");
    let short = |line: &serde_json::Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let who = format!("shop/{}", text("serviceAccount"));
        [text("event"), text("object"), who, text("outcome"), text("reason")].join(" ").trim().to_owned()
    };
    let table = kept.out.lines().skip_while(|line| !line.trim().starts_with("EVENT ")).skip(1);
    let table: Vec<String> = table
        .take_while(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(table.len() >= 8, "{table:?}");
    for (printed, written) in table.iter().zip(&written) {
        assert_eq!(*printed, short(written), "the trail begins with what was printed");
    }

    let command = kept.after("latchkey mount");
    let output = Command::new(shipped()).arg("mount").args(command.split(' ')).output().unwrap();
    assert!(output.status.success(), "the printed command works: {command}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("db/password"));

    let pid = rustix::process::Pid::from_child(&kept.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(kept.child.wait().unwrap().code(), Some(0));
    assert!(is_empty(kept.temporary.path()), "its folder is gone");
}
