//! A writer killed at any moment leaves the old store or the new one.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::secret::fill_random;

use super::{Bench, subject};

const KILLS: usize = 60;
/// Files of the folder at rest: store, identity, lock; and what one killed writer may leave behind.
const FILES_MAX: usize = 4;

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_the_old_or_the_new_value() {
    let bench = Bench::new();
    bench.set("e", &["web/app"], &value(0));
    let mut done = 0;
    for round in 0..KILLS {
        let mut child = Command::new(writer())
            .args([bench.file(), bench.identity()])
            .arg((done + 1).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Half of them die in their very first change, the others in a later one.
        assert_eq!(lines.next().unwrap(), "begun");
        if round % 2 == 1 {
            done = lines.next().unwrap().parse().unwrap();
        }
        Clock::system().sleep(Duration::from_micros(random() % 20_000)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let told = lines.last().map_or(done, |line| line.parse().unwrap());
        let found = number(&bench.read(&subject("web", "app"), "e").await.unwrap());
        assert!(found == told || found == told + 1, "told {told}, found {found}");
        done = found;
        assert!(std::fs::read_dir(bench.folder.path()).unwrap().count() <= FILES_MAX);
    }
    assert!(done >= KILLS as u64 / 2);
    bench.set("e", &[], &value(done + 1));
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), FILES_MAX - 1);
}

/// The limit on a file's size kills it within the very write, which no timer hits reliably.
#[tokio::test]
async fn a_writer_that_dies_in_the_middle_of_the_file_leaves_the_old_value() {
    let bench = Bench::new();
    bench.set("e", &["web/app"], &value(0));
    let mut child = Command::new("sh")
        .args(["-c", r#"ulimit -c 0; ulimit -f 16; exec "$0" "$@""#])
        .arg(writer())
        .args([bench.file(), bench.identity()])
        .arg("1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(!child.wait().unwrap().success());
    assert_eq!(lines, ["begun"]);
    assert_eq!(number(&bench.read(&subject("web", "app"), "e").await.unwrap()), 0);
    bench.set("e", &[], &value(1));
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), FILES_MAX - 1);
}

/// Beside the folder of this test's own binary, where `cargo test` puts what it builds of the examples.
fn writer() -> PathBuf {
    let writer = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/store-writer");
    assert!(writer.exists(), "{} is not built: `cargo build --example store-writer`", writer.display());
    writer
}

/// As the writer makes them: long, so that a torn one cannot be missed.
fn value(number: u64) -> Vec<u8> {
    format!("{number:020}").repeat(2000).into_bytes()
}

fn number(bytes: &[u8]) -> u64 {
    let number = std::str::from_utf8(&bytes[..20]).unwrap().parse().unwrap();
    assert!(bytes == value(number), "a torn value");
    number
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    u64::from_ne_bytes(bytes)
}
