//! `latchkey lint`, as it is typed.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use latchkey::config::parse;
use serde_json::Value;

use super::class;
use crate::support::agent::shipped;

const GOOD: &str = "    secrets: |\n      x: { store: local, path: a }\n";
const BAD: &str = "    secrets: |\n      x: { store: local, pth: a }\n";

fn run(folder: &tempfile::TempDir, arguments: &[&str], input: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new(shipped());
    command.arg("lint").args(arguments).current_dir(folder.path());
    for name in ["LATCHKEY_CONFIG", "LATCHKEY_LOCAL_FILE", "LATCHKEY_LOCAL_IDENTITY", "VAULT_ADDR"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that ends without reading closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn folders_are_searched_and_what_is_wrong_is_told_with_its_place() {
    let (good, bad) = (class("good", "latchkey", GOOD), class("bad", "latchkey", BAD));
    let folder = folder(&[
        ("apps/a/good.yaml", &good),
        ("apps/b/bad.yml", &bad),
        ("apps/b/pod.yaml", "kind: Pod\n"),
        ("apps/.git/bad.yaml", &bad),
        ("apps/bad.yaml.orig", &bad),
    ]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("apps/round")).unwrap();
    std::os::unix::fs::symlink("b/bad.yml", folder.path().join("apps/linked.yaml")).unwrap();
    let (out, err, code) = run(&folder, &["apps"], "");
    let places: Vec<&str> = out.lines().filter_map(|line| line.split(": invalid").next()).take(4).collect();
    assert_eq!(
        places,
        ["apps/b/bad.yml:7:26", "apps/b/bad.yml:7:7", "apps/linked.yaml:7:26", "apps/linked.yaml:7:7"],
        "{out}"
    );
    assert!(out.contains("\n3 classes judged, 0 of other providers, 1 other object passed over: 4 problems, 0 addresses to permit.\n"), "{out}");
    assert!(out.contains("volumeAttributes"), "{out}");
    assert_eq!((err.as_str(), code), ("", Some(1)));
}

#[test]
fn exit_codes_tell_clean_from_wrong_and_from_misused() {
    let folder = folder(&[
        ("good.yaml", &class("good", "latchkey", GOOD)),
        ("config.yaml", "stores: {}\n"),
        ("broken.yaml", "polcy: {}\n"),
    ]);
    for (arguments, input, wanted) in [
        (&["good.yaml"][..], "", 0),
        (&["-"], "", 0),
        (&["-"], &*class("bad", "latchkey", BAD), 1),
        (&["-"], "a: [", 1),
        // With a configuration only its own stores are there.
        (&["--config", "config.yaml", "good.yaml"], "", 1),
        (&["--config", "broken.yaml", "good.yaml"], "", 2),
        (&["--config", "absent.yaml", "good.yaml"], "", 2),
        (&["absent.yaml"], "", 2),
        (&[], "", 2),
    ] {
        let (out, err, code) = run(&folder, arguments, input);
        assert_eq!(code, Some(wanted), "{arguments:?}: {out}{err}");
    }
}

#[test]
fn json_says_the_same() {
    let text = [class("bad", "latchkey", BAD), class("theirs", "gcp", "    x: y\n")].join("---\n");
    let (out, _, code) = run(&folder(&[]), &["--output", "json", "-"], &text);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(1));
    let problem = &report["problems"][0];
    assert_eq!(
        (&problem["file"], &problem["line"], &problem["column"], &problem["class"], &problem["reason"]),
        (&"-".into(), &7.into(), &26.into(), &"shop/bad".into(), &"invalid".into())
    );
    assert!(problem["text"].as_str().unwrap().contains("`pth`"), "{problem}");
    assert_eq!(report["strangers"][0]["provider"], "gcp");
    assert_eq!((&report["classes"], &report["others"]), (&1.into(), &0.into()));
    assert_eq!(report["endpoints"], Value::Array(Vec::new()));
}

#[test]
fn the_list_of_addresses_can_be_pasted() {
    let page = fs::read_to_string(crate::layers::source::top().join("docs/LINT.md")).unwrap();
    let list = page.split("policy:\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let list: String =
        list.lines().take_while(|line| line.starts_with(' ')).map(|line| format!("{line}\n")).collect();
    assert_eq!(parse(&format!("policy:\n{list}"), |_| None).unwrap().policy.endpoints.len(), 2);
}
