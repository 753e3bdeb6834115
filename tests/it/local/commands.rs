//! `latchkey local`, from its arguments to what it prints.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args as _, FromArgMatches as _};
use latchkey::cli::local::{LocalArgs, run};
use latchkey::error::{Problem, Reason};

use super::{Bench, refused, subject};

/// Runs a command line, with `@` as the bench's folder, and gives what it printed.
fn command(bench: &Bench, line: &str, input: &[u8]) -> Result<String, Problem> {
    let line = line.replace('@', bench.folder.path().to_str().unwrap());
    let files = format!(" --file {} --identity {}", bench.file().display(), bench.identity().display());
    let line = if line.contains("--file") { line } else { line + &files };
    let mut out = Vec::new();
    let done = run(&parsed(&line).unwrap(), &mut out, &mut &*input);
    let text = String::from_utf8(out).unwrap();
    done.map(|()| text).map_err(|problems| {
        assert!(!problems.text().contains("canary"), "{problems}");
        problems.into_iter().next().unwrap()
    })
}

fn parsed(line: &str) -> Result<LocalArgs, clap::Error> {
    let command = LocalArgs::augment_args(clap::Command::new("local").no_binary_name(true));
    command.try_get_matches_from(line.split(' ')).and_then(|found| LocalArgs::from_arg_matches(&found))
}

fn file(bench: &Bench, name: &str, bytes: &[u8]) {
    std::fs::write(bench.folder.path().join(name), bytes).unwrap();
}

#[test]
fn each_command_tells_in_its_help_what_it_alone_does() {
    let mut command = LocalArgs::augment_args(clap::Command::new("local"));
    let about = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    let told: BTreeSet<String> = command.get_subcommands().map(about).collect();
    assert_eq!((told.len(), told.contains("")), (5, false), "{told:?}");
    let help = command.find_subcommand_mut("set").unwrap().render_long_help().to_string();
    assert!(help.contains("The value is standard input as it comes"), "{help}");
}

#[tokio::test]
async fn a_store_is_made_filled_listed_and_emptied() {
    let bench = Bench::new();
    let made = command(&bench, "init --file @/new.age --identity @/new.txt", b"").unwrap();
    assert!(made.contains("public key age1") && made.contains("new.txt"), "{made}");
    assert!(Path::new(&bench.folder.path().join("new.txt")).exists());
    let empty = command(&bench, "list", b"").unwrap();
    assert!(empty.contains("The store is empty"), "{empty}");
    let set = command(&bench, "set prod/db --reader web/app", b"canary\n").unwrap();
    assert_eq!(set, "set prod/db, version 1; readers: web/app\n");
    assert_eq!(bench.read(&subject("web", "app"), "prod/db").await.unwrap(), b"canary\n");
    assert_eq!(command(&bench, "remove prod/db", b"").unwrap(), "removed prod/db\n");
    assert_eq!(bench.keeper.list().unwrap(), []);
}

#[tokio::test]
async fn the_line_that_a_refused_mount_shows_lets_the_pod_in_and_keeps_the_value() {
    let bench = Bench::new();
    command(&bench, "set prod/db --reader shop/app", b"v").unwrap();
    let refusal = refused(bench.read(&subject("web", "app"), "prod/db").await);
    let line = refusal.remedy.split('`').nth(1).unwrap().strip_prefix("latchkey local ").unwrap();
    let kept = command(&bench, line, b"").unwrap();
    assert_eq!(kept, "kept prod/db, version 1; readers: shop/app, web/app\n");
    assert_eq!(bench.read(&subject("web", "app"), "prod/db").await.unwrap(), b"v");
    assert_eq!(bench.read(&subject("shop", "app"), "prod/db").await.unwrap(), b"v");
}

#[tokio::test]
async fn values_come_from_files_and_standard_input_whole_or_without_a_last_newline() {
    let bench = Bench::new();
    file(&bench, "v", b"from a file\n\n");
    let web = subject("web", "app");
    command(&bench, "set e --reader web/* --value-file @/v", b"ignored").unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"from a file\n\n");
    command(&bench, "set e --value-file @/v --trim-newline", b"").unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"from a file\n");
    command(&bench, "set e --value-file - --trim-newline", b"piped").unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"piped");
    file(&bench, "v", b"");
    command(&bench, "set e --value-file @/v", b"").unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"");
    file(&bench, "v", b"bob");
    command(&bench, "set e --field user=@/v --field password=- --trim-newline", b"hunter2\n").unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), br#"{"password":"hunter2","user":"bob"}"#);
}

#[test]
fn a_value_is_never_an_argument() {
    for line in ["set e v --file f --identity i", "set e --value v --file f --identity i"] {
        assert!(parsed(line).is_err(), "{line}");
    }
    let bench = Bench::new();
    for line in ["set e --field canary", "set e --field password=canary", "set e --value-file canary"] {
        let problem = refused(command(&bench, line, b""));
        assert_eq!(problem.reason, Reason::Invalid, "{line}");
        assert!(problem.place.parameter.is_some() && !problem.remedy.is_empty(), "{line}");
    }
}

#[test]
fn what_cannot_be_done_names_the_flag_and_changes_nothing() {
    let bench = Bench::new();
    file(&bench, "v", b"v");
    bench.set("e", &[], b"v");
    let before = std::fs::read(bench.file()).unwrap();
    for (line, parameter) in [
        ("set e", "--value-file"),
        ("set ../e --value-file @/v", "PATH"),
        ("remove a//b", "PATH"),
        ("set e --reader web", "--reader"),
        ("set e --reader we*b/app", "--reader"),
        ("set e --field a=- --field b=-", "--field"),
        ("set e --field a=@/v --field a=@/v", "--field"),
        ("set e --value-file @/none", "--value-file"),
        ("list --file @/none --identity @/key.txt", "--file"),
        ("list --file @/store.age --identity @/none", "--identity"),
        ("init --file @/x.age --identity @/key.txt", "--identity"),
        ("init --file @/store.age --identity @/x.txt", "--file"),
        ("rotate-key --new-identity @/v", "--new-identity"),
    ] {
        let problem = refused(command(&bench, line, b""));
        assert_eq!(problem.place.parameter.as_deref(), Some(parameter), "{line}: {problem}");
        assert!(!problem.remedy.is_empty(), "{line}");
    }
    let large = vec![b'x'; (1 << 20) + 1];
    assert_eq!(refused(command(&bench, "set e", &large)).reason, Reason::Invalid);
    assert_eq!(refused(command(&bench, "set new --reader web/app", b"")).reason, Reason::NotFound);
    assert_eq!(std::fs::read(bench.file()).unwrap(), before);
}

#[test]
fn the_list_is_aligned_and_shows_no_value() {
    let bench = Bench::new();
    command(&bench, "set prod/database --reader web/app --reader team-*/*", b"canary").unwrap();
    command(&bench, "set f --field user=- --reader web/app", b"canary").unwrap();
    command(&bench, "set f --no-readers --field user=-", b"canary").unwrap();
    let text = command(&bench, "list", b"").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(!text.contains("canary"));
    let column = lines[0].find("READERS").unwrap();
    assert_eq!((&lines[1][column..], &lines[2][column..]), ("nobody", "team-*/*, web/app"));
    assert!(lines[1].contains("user") && lines[2].contains("one value"), "{text}");
    let json = command(&bench, "list --output json", b"").unwrap();
    assert!(!json.contains("canary") && !json.contains("Y2FuYXJ5"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["entries"][1]["readers"], serde_json::json!(["team-*/*", "web/app"]));
    let versions = &json["entries"][0]["versions"];
    assert_eq!((&versions[1]["version"], &versions[1]["fields"]), (&2.into(), &serde_json::json!(["user"])));
}

#[test]
fn a_key_is_rotated_in_two_steps_and_one_version_removed() {
    let bench = Bench::new();
    command(&bench, "set e", b"1").unwrap();
    command(&bench, "set e", b"2").unwrap();
    assert_eq!(command(&bench, "remove e --version 1", b"").unwrap(), "removed version 1 of e\n");
    let first = command(&bench, "rotate-key --new-identity @/new.txt", b"").unwrap();
    let next = first.lines().last().unwrap().strip_prefix("latchkey local ").unwrap();
    let last = command(&bench, next, b"").unwrap();
    assert!(last.starts_with("the store opens with age1") && !last.contains(','), "{last}");
    assert!(refused(command(&bench, "list", b"")).what.contains("does not open the store"));
    for line in ["rotate-key", "rotate-key --finish --new-identity n"] {
        assert!(parsed(&format!("{line} --file f --identity i")).is_err(), "{line}");
    }
}
