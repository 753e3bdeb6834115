//! The keeper: what it writes, what it refuses to write, and what it leaves as it was.

use std::os::unix::fs::MetadataExt as _;

use latchkey::app::local::{Content, ENTRIES_MAX, Keeper, Reader, Readers, VALUE_BYTES_MAX, VERSIONS_MAX};
use latchkey::clock::{Clock, Wall};
use latchkey::error::Reason;
use zeroize::Zeroizing;

use super::{Bench, adding, chmod, entry, fields, mode, refused, subject};

fn value(bytes: &[u8]) -> Option<Content> {
    Some(Content::Value(Zeroizing::new(bytes.to_vec())))
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_store_is_its_owners_alone_and_nothing_else_appears() {
    let bench = Bench::new();
    assert_eq!((mode(&bench.file()), mode(&bench.identity())), (0o600, 0o600));
    assert_eq!(names(bench.folder.path()), ["key.txt", "store.age", "store.age.lock"]);
    assert_eq!(bench.keeper.list().unwrap(), []);
}

#[test]
fn neither_a_store_nor_an_identity_is_ever_overwritten() {
    let bench = Bench::new();
    let (file, key) = (std::fs::read(bench.file()).unwrap(), std::fs::read(bench.identity()).unwrap());
    let other = bench.folder.path().join("other");
    for (store, identity) in [(bench.file(), other.clone()), (other.clone(), bench.identity())] {
        let problem = refused(Keeper::init(&store, &identity));
        assert!(problem.what.contains("exists already"), "{problem}");
        assert!(!other.exists());
    }
    assert_eq!((std::fs::read(bench.file()).unwrap(), std::fs::read(bench.identity()).unwrap()), (file, key));
}

#[test]
fn a_change_keeps_mode_owner_and_the_link_that_leads_to_the_file() {
    let bench = Bench::new();
    chmod(&bench.file(), 0o640);
    let link = bench.folder.path().join("link");
    std::os::unix::fs::symlink("store.age", &link).unwrap();
    let before = std::fs::metadata(bench.file()).unwrap();
    let keeper = Keeper::open(&link, &bench.identity()).unwrap();
    keeper.set(&entry("e"), &adding(&[]), value(b"v")).unwrap();
    let after = std::fs::metadata(bench.file()).unwrap();
    assert_ne!(before.ino(), after.ino());
    assert_eq!((after.uid(), after.gid(), mode(&bench.file())), (before.uid(), before.gid(), 0o640));
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(bench.keeper.list().unwrap().len(), 1);
}

#[test]
fn plaintext_never_touches_the_disk() {
    let bench = Bench::new();
    bench.set("path-canary", &["reader-canary/app"], b"value-canary");
    for name in names(bench.folder.path()) {
        let bytes = std::fs::read(bench.folder.path().join(&name)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{name}");
    }
}

#[test]
fn rows_tell_versions_times_and_readers_but_no_values() {
    let bench = Bench::new();
    let keeper = bench.keeper.with_clock(Clock::paused(Wall::parse("2026-03-01T12:00:00Z").unwrap()));
    keeper.set(&entry("b"), &adding(&["web/*", "shop/app", "web/*"]), value(b"v")).unwrap();
    keeper.set(&entry("a"), &adding(&[]), Some(fields(&[("y", b"1"), ("x", b"2")]))).unwrap();
    let rows = keeper.list().unwrap();
    let paths: Vec<_> = rows.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(paths, ["a", "b"]);
    assert!(rows[1].versions[0].created.starts_with("2026-03-01T12:00:00."), "{rows:?}");
    assert_eq!(rows[0].versions[0].fields, ["x", "y"]);
    let readers: Vec<_> = rows[1].readers.iter().map(Reader::to_string).collect();
    assert_eq!(readers, ["shop/app", "web/*"]);
}

#[test]
fn readers_stay_join_or_go_as_asked_and_values_stay() {
    let bench = Bench::new();
    let set = |readers: Readers, content| {
        let row = bench.keeper.set(&entry("e"), &readers, content).unwrap();
        (row.readers.iter().map(Reader::to_string).collect::<Vec<_>>().join(" "), row.versions.len())
    };
    assert_eq!(set(adding(&["web/app"]), value(b"1")), ("web/app".into(), 1));
    assert_eq!(set(adding(&[]), value(b"2")), ("web/app".into(), 2));
    assert_eq!(set(adding(&["shop/*"]), None), ("shop/* web/app".into(), 2));
    assert_eq!(set(Readers { clear: true, ..adding(&["x/y"]) }, None), ("x/y".into(), 2));
    assert_eq!(set(Readers { clear: true, add: vec![] }, None), (String::new(), 2));
}

#[test]
fn the_oldest_version_goes_and_no_number_comes_twice() {
    let bench = Bench::new();
    for round in 0..=VERSIONS_MAX {
        bench.set("e", &[], format!("{round}").as_bytes());
    }
    let numbers = || -> Vec<u64> {
        bench.keeper.list().unwrap()[0].versions.iter().map(|version| version.number).collect()
    };
    let last = VERSIONS_MAX as u64 + 1;
    assert_eq!(numbers(), (2..=last).collect::<Vec<_>>());
    bench.keeper.remove(&entry("e"), Some(last)).unwrap();
    bench.set("e", &[], b"again");
    assert_eq!(numbers().last(), Some(&(last + 1)));
    assert!(!numbers().contains(&last));
}

#[test]
fn removing_what_is_not_there_or_the_only_version_is_refused() {
    let bench = Bench::new();
    bench.set("prod/db", &[], b"v");
    let problem = refused(bench.keeper.remove(&entry("prod/dbb"), None));
    assert_eq!((problem.reason, &*problem.remedy), (Reason::NotFound, "did you mean `prod/db`?"));
    let problem = refused(bench.keeper.remove(&entry("prod/db"), Some(7)));
    assert_eq!((problem.reason, &*problem.remedy), (Reason::NotFound, "name one of 1"));
    assert_eq!(refused(bench.keeper.remove(&entry("prod/db"), Some(1))).reason, Reason::Invalid);
    assert_eq!(bench.keeper.list().unwrap().len(), 1);
    bench.keeper.remove(&entry("prod/db"), None).unwrap();
    assert_eq!(bench.keeper.list().unwrap(), []);
}

#[test]
fn content_over_a_bound_is_refused_and_nothing_changes() {
    let bench = Bench::new();
    bench.set("max", &[], &vec![0; VALUE_BYTES_MAX]);
    let before = std::fs::read(bench.file()).unwrap();
    let half = vec![b'x'; VALUE_BYTES_MAX / 2 + 1];
    for content in [
        value(&vec![0; VALUE_BYTES_MAX + 1]),
        Some(fields(&[("a", &half), ("b", &half)])),
        Some(fields(&[("a", b"\xff")])),
        Some(fields(&[("", b"v")])),
        Some(fields(&[("a\nb", b"v")])),
        Some(fields(&[(&"x".repeat(254), b"v")])),
    ] {
        let problem = refused(bench.keeper.set(&entry("e"), &adding(&[]), content));
        assert_eq!(problem.reason, Reason::Invalid, "{problem}");
        assert!(problem.place.object.is_some());
    }
    let problem = refused(bench.keeper.set(&entry("e"), &adding(&["web/app"]), None));
    assert_eq!(problem.reason, Reason::NotFound);
    assert_eq!(std::fs::read(bench.file()).unwrap(), before);
}

/// A store's plaintext with these entries.
fn document(bench: &Bench, entries: &str) -> String {
    let recipient = bench.key().to_public();
    format!(r#"{{"format":"latchkey.local/v1","recipients":["{recipient}"],"entries":{{{entries}}}}}"#)
}

#[test]
fn a_store_that_would_outgrow_the_bound_stays_as_it_was() {
    let bench = Bench::new();
    let created = r#""created":"2026-01-01T00:00:00Z""#;
    let large = "AAAA".repeat(VALUE_BYTES_MAX / 3);
    let one = format!(r#"{{"readers":[],"versions":[{{"version":1,{created},"value":"{large}"}}]}}"#);
    let eleven: Vec<String> = (0..11).map(|number| format!(r#""e{number}":{one}"#)).collect();
    bench.seal(&document(&bench, &eleven.join(",")));
    let before = std::fs::read(bench.file()).unwrap();
    let problem = refused(bench.keeper.set(&entry("e"), &adding(&[]), value(&vec![b'x'; VALUE_BYTES_MAX])));
    assert_eq!(problem.reason, Reason::TooLarge, "{problem}");
    assert_eq!(problem.place.hop.as_deref(), bench.file().to_str());
    assert!(std::fs::read(bench.file()).unwrap() == before);
}

#[test]
fn a_store_takes_as_many_entries_as_it_can_read_back() {
    let bench = Bench::new();
    let created = r#""created":"2026-01-01T00:00:00Z""#;
    let one = format!(r#"{{"readers":[],"versions":[{{"version":1,{created},"value":""}}]}}"#);
    let many: Vec<String> = (0..ENTRIES_MAX).map(|number| format!(r#""e{number}":{one}"#)).collect();
    bench.seal(&document(&bench, &many.join(",")));
    assert_eq!(refused(bench.keeper.set(&entry("more"), &adding(&[]), value(b"v"))).reason, Reason::Invalid);
    bench.keeper.set(&entry("e0"), &adding(&[]), value(b"v")).unwrap();
}

#[tokio::test]
async fn a_key_is_changed_without_a_moment_in_which_an_agent_is_shut_out() {
    let bench = Bench::new();
    bench.set("e", &["web/app"], b"v");
    let web = subject("web", "app");
    let new = bench.folder.path().join("new.txt");
    let agent_of_new = Bench { local: super::local(&bench.file(), &new, None), ..Bench::new() };
    assert!(agent_of_new.read(&web, "e").await.is_err());
    let recipients = bench.keeper.rotate_key(&new).unwrap();
    assert_eq!((recipients.len(), mode(&new)), (2, 0o600));
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"v");
    assert_eq!(agent_of_new.read(&web, "e").await.unwrap(), b"v");
    // Writing in between keeps both.
    bench.set("e", &[], b"w");
    assert_eq!(agent_of_new.read(&web, "e").await.unwrap(), b"w");
    let keeper = Keeper::open(&bench.file(), &new).unwrap();
    assert_eq!(keeper.finish_rotation().unwrap(), recipients[1..]);
    assert_eq!(agent_of_new.read(&web, "e").await.unwrap(), b"w");
    assert_eq!(refused(bench.read(&web, "e").await).what, "the identity file does not open the store");
}

#[test]
fn a_rotation_that_broke_off_goes_on_with_the_identity_it_made() {
    let bench = Bench::new();
    let other = Bench::new();
    let key = std::fs::read(other.identity()).unwrap();
    let recipients = bench.keeper.rotate_key(&other.identity()).unwrap();
    assert_eq!(std::fs::read(other.identity()).unwrap(), key);
    assert_eq!(recipients.len(), 2);
    assert_eq!(bench.keeper.rotate_key(&other.identity()).unwrap(), recipients);
    let garbage = bench.folder.path().join("garbage");
    std::fs::write(&garbage, "garbage").unwrap();
    chmod(&garbage, 0o600);
    assert_eq!(refused(bench.keeper.rotate_key(&garbage)).place.hop.as_deref(), garbage.to_str());
}

#[test]
fn writers_take_turns_and_none_loses_its_entry() {
    let bench = Bench::new();
    let (file, identity) = (bench.file(), bench.identity());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (file, identity) = (&file, &identity);
            scope.spawn(move || {
                let keeper = Keeper::open(file, identity).unwrap();
                for round in 0..8 {
                    keeper.set(&entry(&format!("w{writer}/r{round}")), &adding(&[]), value(b"v")).unwrap();
                }
            });
        }
    });
    assert_eq!(bench.keeper.list().unwrap().len(), 32);
}

#[test]
fn what_a_killed_writer_left_goes_with_the_next() {
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join(".store.age.tmp"), "half").unwrap();
    bench.set("e", &[], b"v");
    assert_eq!(names(bench.folder.path()), ["key.txt", "store.age", "store.age.lock"]);
}
