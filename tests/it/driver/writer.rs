//! The atomic writer: layout, rules, and what a reader sees meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use latchkey::clock::Wall;
use latchkey::driver::{NewFile, Written, write};
use latchkey::error::Reason;
use proptest::prelude::*;

type Files = BTreeMap<String, (u32, Vec<u8>)>;

fn files(list: &[(&str, u32, &str)]) -> Files {
    list.iter().map(|(p, m, c)| ((*p).to_owned(), (*m, c.as_bytes().to_vec()))).collect()
}

fn save(target: &Path, files: &Files) -> Result<Written, latchkey::error::Problem> {
    let list: Vec<_> =
        files.iter().map(|(path, (mode, contents))| NewFile { path, mode: *mode, contents }).collect();
    write(target, &list, Wall::parse("2026-11-24T10:33:00.5Z").unwrap())
}

/// What a pod sees: every file below the names that are not the writer's own, through the links.
fn visible(target: &Path) -> Files {
    let mut seen = Files::new();
    let mut open: Vec<_> = fs::read_dir(target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".."))
        .collect();
    while let Some(path) = open.pop() {
        let full = target.join(&path);
        if full.is_dir() {
            let names = fs::read_dir(&full).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            open.extend(names.map(|name| format!("{path}/{name}")));
        } else {
            let mode = fs::metadata(&full).unwrap().mode() & 0o7777;
            seen.insert(path, (mode, fs::read(&full).unwrap()));
        }
    }
    seen
}

fn own(target: &Path) -> Vec<String> {
    let names = fs::read_dir(target).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("..")).collect();
    names.sort();
    names
}

#[test]
fn the_layout_is_the_drivers() {
    let target = tempfile::tempdir().unwrap();
    let target = target.path();
    assert_eq!(save(target, &files(&[("a", 0o640, "1"), ("d/e", 0o400, "2")])).unwrap(), Written::Replaced);
    let own = own(target);
    assert!(own[0].starts_with("..2026_11_24_10_33_00.500_") && own[1..] == ["..data"], "{own:?}");
    assert_eq!(fs::read_link(target.join("..data")).unwrap(), Path::new(&own[0]));
    assert_eq!(fs::read_link(target.join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(fs::read_link(target.join("d")).unwrap(), Path::new("..data/d"));
    assert_eq!(fs::metadata(target.join("..data")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(visible(target), files(&[("a", 0o640, "1"), ("d/e", 0o400, "2")]));
}

#[test]
fn equal_content_touches_nothing_even_where_the_mode_differs() {
    let target = tempfile::tempdir().unwrap();
    let target = target.path();
    save(target, &files(&[("a", 0o644, "1")])).unwrap();
    let before = fs::metadata(target).unwrap().mtime_nsec();
    assert_eq!(save(target, &files(&[("a", 0o600, "1")])).unwrap(), Written::Unchanged);
    assert_eq!(save(target, &Files::new()).unwrap(), Written::Unchanged);
    assert_eq!(fs::metadata(target).unwrap().mtime_nsec(), before);
    assert_eq!(visible(target), files(&[("a", 0o644, "1")]));
    assert_eq!(save(target, &files(&[("a", 0o600, "2")])).unwrap(), Written::Replaced);
    assert_eq!(visible(target), files(&[("a", 0o600, "2")]));
}

#[test]
fn a_vanished_file_is_removed_and_a_folder_may_become_a_file() {
    let target = tempfile::tempdir().unwrap();
    let target = target.path();
    save(target, &files(&[("a/b", 0o644, "1"), ("a/c", 0o644, "2"), ("d", 0o644, "3")])).unwrap();
    assert_eq!(save(target, &files(&[("a/b", 0o644, "1")])).unwrap(), Written::Replaced);
    assert_eq!(visible(target), files(&[("a/b", 0o644, "1")]));
    assert!(fs::symlink_metadata(target.join("d")).is_err());
    save(target, &files(&[("a", 0o644, "now a file")])).unwrap();
    assert_eq!(visible(target), files(&[("a", 0o644, "now a file")]));
}

#[test]
fn p_01_p_03_p_05_paths_that_the_driver_refuses_are_refused_before_anything_is_written() {
    let long = "x".repeat(256);
    let deep = format!("{}y", "x/".repeat(2048));
    for bad in
        ["", "/a", "..", "a/..", "a/../b", "..data", "..x/y", ".", "./a", "a/./b", "a//b", "a/", &long, &deep]
    {
        let target = tempfile::tempdir().unwrap();
        let problem = save(target.path(), &files(&[("good", 0o644, "1"), (bad, 0o644, "2")])).unwrap_err();
        assert_eq!(problem.reason, Reason::Invalid, "{bad:?}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "{bad:?}");
    }
}

#[test]
fn odd_names_that_the_driver_takes_are_written() {
    let target = tempfile::tempdir().unwrap();
    let odd = files(&[
        (".env", 0o644, "1"),
        ("a/..b", 0o644, "2"),
        ("c\\..\\d", 0o644, "3"),
        ("new\nline é", 0o644, "4"),
    ]);
    save(target.path(), &odd).unwrap();
    assert_eq!(visible(target.path()), odd);
}

#[test]
fn of_two_files_with_one_path_the_later_wins() {
    let target = tempfile::tempdir().unwrap();
    let file = |contents| NewFile { path: "a", mode: 0o644, contents };
    write(target.path(), &[file(b"first"), file(b"second")], Wall::from_seconds(0)).unwrap();
    assert_eq!(visible(target.path()), files(&[("a", 0o644, "second")]));
}

#[test]
fn p_13_a_file_that_is_also_a_folder_fails_and_leaves_the_old_files() {
    let target = tempfile::tempdir().unwrap();
    let old = files(&[("a", 0o644, "old")]);
    save(target.path(), &old).unwrap();
    let before = own(target.path());
    let problem = save(target.path(), &files(&[("a", 0o644, "1"), ("a/b", 0o644, "2")])).unwrap_err();
    assert_eq!(problem.reason, Reason::Setup);
    assert_eq!(visible(target.path()), old);
    assert_eq!(own(target.path()), before);
}

#[test]
fn modes_are_taken_as_go_takes_them_whatever_the_umask() {
    let target = tempfile::tempdir().unwrap();
    let list = [
        ("a", 0o777),
        ("b", 0),
        ("c", 0o4755),
        ("d", 0o755 | 1 << 23),
        ("e", 0o70 | 1 << 22 | 1 << 20),
        ("f", u32::MAX),
    ];
    let wanted = files(&list.map(|(path, mode)| (path, mode, "")));
    save(target.path(), &wanted).unwrap();
    let modes: Vec<_> = list
        .iter()
        .map(|(path, _)| fs::metadata(target.path().join(path)).unwrap().mode() & 0o7777)
        .collect();
    assert_eq!(modes, [0o777, 0, 0o755, 0o4755, 0o3070, 0o7777]);
}

#[test]
fn a_folder_that_was_taken_away_is_written_again() {
    let target = tempfile::tempdir().unwrap();
    let wanted = files(&[("a", 0o644, "1")]);
    save(target.path(), &wanted).unwrap();
    fs::remove_dir_all(target.path().join(&own(target.path())[0])).unwrap();
    assert_eq!(save(target.path(), &wanted).unwrap(), Written::Replaced);
    assert_eq!(visible(target.path()), wanted);
}

#[test]
fn a_file_put_in_place_of_a_link_survives_the_removal_of_its_name() {
    let target = tempfile::tempdir().unwrap();
    save(target.path(), &files(&[("a", 0o644, "1"), ("b", 0o644, "2")])).unwrap();
    fs::remove_file(target.path().join("b")).unwrap();
    fs::write(target.path().join("b"), "precious").unwrap();
    save(target.path(), &files(&[("a", 0o644, "1")])).unwrap();
    assert_eq!(fs::read_to_string(target.path().join("b")).unwrap(), "precious");
}

#[test]
fn a_swap_link_left_by_a_crash_is_replaced() {
    let target = tempfile::tempdir().unwrap();
    save(target.path(), &files(&[("a", 0o644, "1")])).unwrap();
    symlink("..gone", target.path().join("..data_tmp")).unwrap();
    save(target.path(), &files(&[("a", 0o644, "2")])).unwrap();
    assert_eq!(visible(target.path()), files(&[("a", 0o644, "2")]));
    assert!(!own(target.path()).contains(&"..data_tmp".to_owned()));
}

#[test]
fn what_this_writer_did_not_write_is_neither_deleted_nor_followed() {
    let target = tempfile::tempdir().unwrap();
    let target = target.path();
    fs::create_dir(target.join("src")).unwrap();
    fs::write(target.join("src/main.rs"), "precious").unwrap();
    let problem = save(target, &files(&[("src/x", 0o644, "1")])).unwrap_err();
    assert_eq!(problem.reason, Reason::Setup);
    assert!(own(target).is_empty(), "{:?}", own(target));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("b"), "precious").unwrap();
    symlink(elsewhere.path(), target.join("..data")).unwrap();
    assert!(save(target, &files(&[("a", 0o644, "1")])).is_err());
    assert_eq!(fs::read_to_string(elsewhere.path().join("b")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(target.join("src/main.rs")).unwrap(), "precious");
}

#[test]
fn a_refusal_names_the_file_and_no_content() {
    let target = tempfile::tempdir().unwrap();
    let problem =
        save(target.path(), &files(&[("a", 0o644, "CANARY"), ("a/b", 0o644, "CANARY")])).unwrap_err();
    let text = problem.to_string();
    assert!(text.contains("file `a/b`") && !text.contains("CANARY"), "{text}");
}

#[test]
fn a_reader_through_the_link_sees_all_old_or_all_new() {
    let target = tempfile::tempdir().unwrap();
    let target = target.path();
    let generation = |n: usize| -> Files {
        (0..8).map(|file| (format!("f{file}"), (0o644, n.to_string().repeat(512).into_bytes()))).collect()
    };
    save(target, &generation(0)).unwrap();
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let folder =
                    target.join(fs::read_link(target.join("..data")).expect("the link is always there"));
                let seen: Vec<_> = (0..8).map(|file| fs::read(folder.join(format!("f{file}")))).collect();
                // A folder that has been replaced meanwhile is being removed: only a whole look counts.
                if let Ok(seen) = seen.into_iter().collect::<Result<Vec<_>, _>>() {
                    assert!(seen.iter().all(|content| !content.is_empty() && *content == seen[0]));
                    looks += 1;
                }
            }
            looks
        });
        // The reader must end before a failure is told, or the scope would wait for it for ever.
        let saved: Result<Vec<_>, _> = (1..400).map(|n| save(target, &generation(n))).collect();
        done.store(true, Ordering::Relaxed);
        saved.unwrap();
        reader.join().unwrap()
    });
    assert!(looks > 10, "{looks} looks");
    assert_eq!(visible(target), generation(399));
}

fn any_files() -> impl Strategy<Value = Files> {
    let path = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        "c/[xyz]",
        "c/d/[xy]",
        Just(".e".to_owned()),
        Just("f/..g".to_owned())
    ];
    let mode = prop_oneof![Just(0u32), Just(0o400), Just(0o644), Just(0o777), Just(0o440)];
    proptest::collection::btree_map(path, (mode, proptest::collection::vec(0u8..3, 0..4)), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_writes_leaves_exactly_the_last_set(sequence in proptest::collection::vec(any_files(), 1..6)) {
        let target = tempfile::tempdir().unwrap();
        let mut expected = Files::new();
        for next in sequence {
            let written = save(target.path(), &next).unwrap();
            let contents = |files: &Files| -> Vec<_> {
                files.iter().map(|(path, (_, contents))| (path.clone(), contents.clone())).collect()
            };
            let same = next.is_empty() || contents(&next) == contents(&expected);
            prop_assert_eq!(written, if same { Written::Unchanged } else { Written::Replaced });
            if !same {
                expected = next;
            }
            prop_assert_eq!(visible(target.path()), expected.clone());
            prop_assert!(own(target.path()).len() <= 2);
        }
    }
}
