//! Small rules about the sources that no lint knows: each finding names its file and line.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use syn::Item;
use syn::spanned::Spanned;

use crate::layers::source::{self, Source, only_in_tests};
use crate::layers::{Kind, collect};

/// A file that may do what others may not.
struct Exception {
    file: &'static str,
    why: &'static str,
}

#[test]
fn every_module_begins_with_its_purpose() {
    report(
        sources()
            .iter()
            .filter(|source| !source.text.starts_with("//!"))
            .map(|source| at(source, 1, "no `//!`")),
    );
}

#[test]
fn no_module_has_a_name_that_means_nothing() {
    report(rust().iter().flat_map(names).collect::<Vec<_>>());
    let bad = Source::new("src/net/utils.rs", "//! X.\nmod inner { mod helpers {} }\nmod common;\n");
    assert_eq!(names(&bad).len(), 3);
}

#[test]
fn no_file_is_too_long() {
    let long = |source: &Source| {
        (net_lines(source) > LINES_MAX).then(|| at(source, 1, "over 600 lines without its tests"))
    };
    report(sources().iter().filter_map(long));
    let tested =
        Source::new("src/x.rs", "//! X.\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n");
    assert_eq!(net_lines(&tested), 3);
    assert_eq!(net_lines(&Source::new("src/x.rs", "//! X.\nfn f() {}\nmod tests {}\n")), 3);
}

#[test]
fn secrets_are_exposed_in_listed_files_only() {
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    for source in &sources() {
        for line in exposures(source) {
            match EXPOSES.iter().find(|exception| exception.file == source.path) {
                Some(exception) => drop(used.insert(exception.file)),
                None => found.push(at(source, line, "exposes a secret and is not in `EXPOSES`")),
            }
        }
    }
    found.extend(idle(EXPOSES, &used, "EXPOSES"));
    report(found);
}

#[test]
fn an_exposure_is_seen_in_every_spelling_and_left_alone_in_tests() {
    let text = "//! X.\nfn f() { a.expose(); }\nfn g() { b.map(Secret::expose); }\nfn h() { say!(c.expose()); }\n\
                fn i() { say!(map(Secret::expose)); }\nfn j() { use x::Secret as S; S::expose(&d); }\n\
                #[cfg(test)]\nmod tests { fn k() { e.expose(); } }\n";
    assert_eq!(exposures(&Source::new("src/x.rs", text)), [2, 3, 4, 5, 6]);
    assert!(exposures(&Source::new("src/x.rs", "//! X.\nimpl X { fn expose(&self) {} }\n")).is_empty());
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_ignored() {
    report(rust().iter().flat_map(unfinished).collect::<Vec<_>>());
    let calls = ["todo", "unimplemented"].map(|name| format!("fn f() {{ say!({name}!()); }}\n")).concat();
    let marks = format!("#[{0}]\nfn g() {{}}\n#[cfg_attr(x, {0})]\nfn h() {{}}\n", concat!("ig", "nore"));
    assert_eq!(unfinished(&Source::new("src/x.rs", &format!("{calls}{marks}"))).len(), 4);
}

#[test]
fn no_text_names_a_place_on_one_machine() {
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(source::top().join(&path)) else { continue };
        let source = Source::new(&path, &text);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| names_a_place(line));
        for (line, _) in lines {
            match PLACES.iter().find(|exception| exception.file == path) {
                Some(exception) => drop(used.insert(exception.file)),
                None => found.push(at(&source, line, "an absolute path of one machine")),
            }
        }
    }
    found.extend(idle(PLACES, &used, "PLACES"));
    report(found);
}

#[test]
fn only_an_absolute_path_is_a_place() {
    for folder in MACHINE {
        for line in [
            format!("{folder}x"),
            format!("see `{folder}x`"),
            format!("a={folder}"),
            format!("file://{folder}"),
        ] {
            assert!(names_a_place(&line), "{line}");
        }
        for line in [format!("~{folder}x"), format!("$TOP{folder}x"), format!("https://a.example{folder}x")] {
            assert!(!names_a_place(&line), "{line}");
        }
    }
}

fn report(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn at(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.path)
}

fn sources() -> Vec<Source> {
    source::read("src", "rs")
}

/// Every Rust file of the repository.
fn rust() -> Vec<Source> {
    let folders = ["src", "tests", "benches", "examples", "fuzz"];
    folders.iter().flat_map(|folder| source::read(folder, "rs")).collect()
}

fn parsed(source: &Source) -> syn::File {
    syn::parse_file(&source.text).expect("a file that the compiler reads")
}

/// Modules with a name out of `NAMELESS`, by their path or inside the file.
fn names(source: &Source) -> Vec<String> {
    let inside = collect(source.module(), &parsed(source)).modules;
    let declared = inside.iter().filter_map(|module| module.last().cloned());
    let mut all: BTreeSet<String> = declared.chain(source.module()).collect();
    all.retain(|name| NAMELESS.contains(&name.as_str()));
    all.iter().map(|name| at(source, 1, &format!("a module named `{name}` can hold anything"))).collect()
}

/// The lines of a file without a module of tests at its end.
fn net_lines(source: &Source) -> usize {
    let all = source.text.lines().count();
    match parsed(source).items.last() {
        Some(Item::Mod(last)) if only_in_tests(&last.attrs) => {
            let (from, to) = (last.span().start().line, last.span().end().line);
            all - (to + 1 - from)
        }
        _ => all,
    }
}

/// The lines that reveal a secret: calls of the method, and its name in a path.
fn exposures(source: &Source) -> Vec<usize> {
    let facts = collect(source.module(), &parsed(source));
    let reveals = facts.mentions.iter().filter(|mention| {
        let last = mention.path.segments.last().is_some_and(|last| last == "expose");
        last && (mention.kind == Kind::Method || mention.path.segments.len() > 1)
    });
    let lines: BTreeSet<usize> = reveals.map(|mention| mention.line).collect();
    lines.into_iter().collect()
}

/// An exception that nothing needs any more goes.
fn idle(list: &[Exception], used: &BTreeSet<&str>, name: &str) -> Vec<String> {
    let unused = list.iter().filter(|exception| !used.contains(exception.file));
    unused.map(|one| format!("{}:1: in `{name}` ({}) without need", one.file, one.why)).collect()
}

/// Macros that stand for missing code, and attributes that switch a test off.
fn unfinished(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let tokens: TokenStream = source.text.parse().expect("a file of Rust tokens");
    search(tokens, false, &mut |line, what| found.push(at(source, line, what)));
    found
}

fn search(stream: TokenStream, attribute: bool, found: &mut dyn FnMut(usize, &str)) {
    let all: Vec<TokenTree> = stream.into_iter().collect();
    for (at, token) in all.iter().enumerate() {
        let is = |at: usize, wanted| matches!(all.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
        match token {
            TokenTree::Group(group) => {
                let marked = at > 0 && (is(at - 1, '#') || at > 1 && is(at - 1, '!') && is(at - 2, '#'));
                search(group.stream(), attribute || marked, found);
            }
            TokenTree::Ident(ident) => {
                let line = ident.span().start().line;
                if (ident == "todo" || ident == "unimplemented") && is(at + 1, '!') {
                    found(line, "a macro in place of code");
                }
                if attribute && ident == "ignore" {
                    found(line, "a test that is switched off");
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The files of the repository, or of the folder where there is no repository (a packed source).
fn tracked() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(source::top()).output();
    if let Ok(output) = listed
        && output.status.success()
        && !output.stdout.is_empty()
    {
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        return names.split_terminator('\0').map(str::to_owned).collect();
    }
    let mut found = Vec::new();
    walk(&source::top(), &mut found);
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let built =
            path.file_name().is_some_and(|name| name == "target" || name == ".git" || name == ".cache");
        if path.is_dir() && !built {
            walk(&path, found);
        } else if let Ok(short) = path.strip_prefix(source::top()) {
            found.push(short.to_string_lossy().into_owned());
        }
    }
}

/// A folder counts where nothing stands before it that could make it part of another path or of an address.
fn names_a_place(line: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    let inside = |last: char| last.is_ascii_alphanumeric() || "-_.~}*)>".contains(last);
    MACHINE.iter().any(|folder| line.match_indices(folder).any(|(at, _)| !before(at).is_some_and(inside)))
}

const LINES_MAX: usize = 600;

const NAMELESS: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "misc", "manager", "managers"];

/// In pieces, so that this file does not break its own rule.
const MACHINE: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];

/// The files that may call `Secret::expose`, each with what it needs the bytes for.
const EXPOSES: &[Exception] = &[
    Exception { file: "src/cluster/key.rs", why: "reads the version key out of a Secret" },
    Exception { file: "src/cluster/refusal.rs", why: "reads what the API server says of a refusal" },
    Exception { file: "src/cluster/token.rs", why: "reads a pod's token out of the reply" },
    Exception {
        file: "src/model/cut.rs",
        why: "decodes base64 and hexadecimal text into the bytes it stands for",
    },
    Exception { file: "src/model/token.rs", why: "decodes the claims, to compare them with the subject" },
    Exception {
        file: "src/store/local/document.rs",
        why: "writes values into the document that is encrypted",
    },
    Exception {
        file: "src/store/local/mod.rs",
        why: "reads whose session it is, and hands the token to its verifier",
    },
    Exception {
        file: "src/store/vault/lease.rs",
        why: "names a lease to the server, and compares it with the reply's",
    },
    Exception {
        file: "src/store/vault/login.rs",
        why: "writes the token into the login, and reads the reply",
    },
    Exception { file: "src/store/vault/read.rs", why: "reads a reply" },
    Exception { file: "src/store/vault/refusal.rs", why: "reads the errors of a reply, which are passed on" },
];

/// The files that may name such a folder, each with the reason: it must be the same on every machine.
const PLACES: &[Exception] = &[];
