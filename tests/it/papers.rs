//! The papers say what is so: links lead somewhere, the tests that `ARCHITECTURE.md` names exist, and `docs/ERRORS.md`
//! has the code's own table and what the program prints.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use latchkey::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use latchkey::error::Reason;
use latchkey::serve::code::code;
use zeroize::Zeroizing;

use crate::layers::source::{self, top};
use crate::support::agent::shipped;

pub(crate) fn page() -> String {
    fs::read_to_string(top().join("docs/ERRORS.md")).unwrap()
}

/// The blocks of a language, with what stands before each.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    page.split(opening.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A folder with the store that the page describes.
fn store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (file, identity) = (folder.path().join("store.age"), folder.path().join("key.txt"));
    let keeper = Keeper::init(&file, &identity).unwrap().0;
    let value = || Zeroizing::new(b"value".to_vec());
    let fields = ["username", "password"].map(|name| (name.to_owned(), value()));
    for (path, reader, content) in [
        ("prod/db", "shop/web", Content::Fields(fields.into())),
        ("prod/stripe", "shop/batch", Content::Value(value())),
    ] {
        let readers = Readers { clear: false, add: vec![Reader::parse(reader).unwrap()] };
        keeper.set(&EntryPath::parse(path).unwrap(), &readers, Some(content)).unwrap();
    }
    folder
}

fn latchkey(folder: &tempfile::TempDir, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(shipped());
    command.args(arguments).current_dir(folder.path()).env_remove("LATCHKEY_CONFIG");
    command.env("LATCHKEY_LOCAL_FILE", "store.age").env("LATCHKEY_LOCAL_IDENTITY", "key.txt");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that ends without reading closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Mounts a class with these parameters; the text without the audit lines, and the exit code.
fn mount(folder: &tempfile::TempDir, parameters: &str, more: &[&str]) -> (String, Option<i32>) {
    let mut class =
        "kind: SecretProviderClass\nmetadata: { name: class, namespace: shop }\nspec:\n  provider: \
                     latchkey\n  parameters:\n"
            .to_owned();
    for line in parameters.lines() {
        let _ = writeln!(class, "    {line}");
    }
    let arguments = [&["mount", "-f", "-", "-s", "web"], more].concat();
    let output = latchkey(folder, &arguments, &class);
    let text = String::from_utf8(output.stderr).unwrap();
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    (text.join("\n"), output.status.code())
}

#[test]
fn the_table_of_reasons_is_the_one_in_the_code() {
    let page = page();
    let table = page.split("## Reasons").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let rows: Vec<(String, String)> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split(" | ").collect::<Vec<_>>())
        .map(|cells| (cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned()))
        .collect();
    let ours: Vec<(String, String)> = Reason::ALL
        .into_iter()
        .map(|reason| (reason.label().to_owned(), format!("{:?}", code(reason))))
        .collect();
    assert_eq!(rows, ours);
    let refusals = Reason::ALL.into_iter().filter(|reason| reason.is_refusal()).count();
    assert_eq!(refusals, 8, "the page speaks of the first eight");
    assert!(Reason::ALL[..8].iter().all(|reason| reason.is_refusal()));
}

#[test]
fn the_examples_are_what_the_program_prints() {
    let page = page();
    let (classes, texts) = (blocks(&page, "yaml"), blocks(&page, "text"));
    assert_eq!((classes.len(), texts.len()), (5, 5));
    let folder = store();
    for (class, text) in classes.iter().zip(texts) {
        let (printed, code) = mount(&folder, class, &[]);
        assert_eq!((printed, code), (format!("latchkey: {}", text.trim_end()), Some(1)), "of\n{class}");
    }
    let configuration = "stores:\n  local: { file: store.age, identity: key.txt }\npolicy:\n  rules:\n    - { \
                         namespaces: [team-*], serviceAccounts: [\"*\"], stores: [local], objects: [\"*\"] }\n";
    fs::write(folder.path().join("rules.yaml"), configuration).unwrap();
    let class = "secrets: |\n  db: { store: local, path: prod/db }";
    let (printed, _) = mount(&folder, class, &["--config", "rules.yaml"]);
    let wanted = page.lines().rfind(|line| line.starts_with("    policy: ")).unwrap().trim_start();
    assert_eq!(printed, format!("latchkey: {wanted}"));
}

#[cfg(feature = "vault")]
#[test]
fn the_refusals_of_a_class_for_vault_are_what_the_program_prints() {
    let page = page();
    let folder = store();
    fs::write(
        folder.path().join("config.yaml"),
        "stores: { vault: { address: \"https://vault.corp:8200\" } }\n",
    )
    .unwrap();
    let class = |more: &str| {
        let objects = "objects: \"- { objectName: db, secretPath: secret/data/db }\"\n    roleName: web\n";
        format!(
            "kind: SecretProviderClass\nmetadata: {{ name: class, namespace: shop }}\nspec:\n  provider: vault\n  \
             parameters:\n    {objects}{more}"
        )
    };
    for (more, wanted) in [
        ("    vaultAddress: https://team.corp:8200\n", "    policy: parameter vaultAddress"),
        ("", "    setup: store `vault`: the CSIDriver's"),
    ] {
        let arguments = ["mount", "-f", "-", "-s", "web", "--config", "config.yaml"];
        let output = latchkey(&folder, &arguments, &class(more));
        let text = String::from_utf8(output.stderr).unwrap();
        let told = text.lines().find(|line| !line.starts_with('{')).unwrap();
        let line = page.lines().find(|line| line.starts_with(wanted)).unwrap();
        assert_eq!(told, format!("latchkey: {}", line.trim_start()));
    }
}

#[test]
fn exit_codes_tell_work_from_usage() {
    let folder = store();
    let class = "secrets: |\n  db: { store: local, path: prod/db }";
    assert_eq!(mount(&folder, class, &[]).1, Some(0));
    assert_eq!(mount(&folder, &class.replace("prod/db", "prod/no"), &[]).1, Some(1));
    assert_eq!(mount(&folder, class, &["--config", "absent.yaml"]).1, Some(2));
    for (arguments, wanted) in [
        (&["local", "list"][..], 0),
        (&["local", "list", "--file", "absent.age"], 1),
        (&["mount", "-f", "absent.yaml"], 2),
        (&["mount", "--no-such-flag"], 2),
        (&["serve", "--socket-dir", "absent"], 2),
    ] {
        assert_eq!(latchkey(&folder, arguments, "").status.code(), Some(wanted), "{arguments:?}");
    }
}

/// Every paper, by its path from the top.
fn papers() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/", "docs/compat/", "examples/", "daemonset/"] {
        for entry in fs::read_dir(top().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    found
}

#[test]
fn every_link_and_every_named_page_is_there() {
    let mut lost = Vec::new();
    for paper in papers() {
        let text = fs::read_to_string(top().join(&paper)).unwrap();
        let folder = top().join(&paper).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains(':')) {
            if !folder.join(link).exists() {
                lost.push(format!("{paper}: the link {link}"));
            }
        }
        let quoted = text.split('`').skip(1).step_by(2);
        let folders = ["docs/", "examples/", "daemonset/", "src/", "tests/", "proto/"];
        for name in quoted.filter(|name| folders.iter().any(|folder| name.starts_with(folder))) {
            if !name.contains(' ') && !top().join(name).exists() {
                lost.push(format!("{paper}: the file {name}"));
            }
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn the_tests_that_the_map_names_exist() {
    let read = |page: &str| fs::read_to_string(top().join(page)).unwrap();
    let map = read("ARCHITECTURE.md") + &read("docs/compat/vault.md");
    let sources: Vec<_> =
        ["src", "tests"].into_iter().flat_map(|folder| source::read(folder, "rs")).collect();
    let exists = |name: &str| sources.iter().any(|source| source.text.contains(&format!("fn {name}(")));
    let rows =
        map.lines().filter(|line| line.starts_with("| ")).flat_map(|row| row.split('`').skip(1).step_by(2));
    let named: BTreeSet<&str> = rows.filter(|word| is_test_name(word)).collect();
    assert!(named.len() > 10, "they are found at all: {named:?}");
    let lost: Vec<_> = named.into_iter().filter(|name| !exists(name)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// A sentence of several words, which no lint or method here is.
fn is_test_name(word: &str) -> bool {
    let letters = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    letters && word.matches('_').count() >= 4
}
