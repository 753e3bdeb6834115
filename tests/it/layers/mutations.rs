//! Breaks every rule of the table in every spelling, and uses what every rule allows in the same spellings.

use super::check::{Violation, check};
use super::source::Source;
use super::table::{Alone, TABLE, covers, segments};

/// One way to mention a path, and the line where the mention stands.
struct Spelling {
    text: String,
    line: usize,
    how: &'static str,
}

#[test]
fn what_a_row_does_not_list_is_refused_in_every_spelling() {
    for unit in TABLE.units() {
        for other in TABLE.units().filter(|other| *other != unit && !TABLE.may(unit, other)) {
            refused(unit, &rooted(unit, &format!("{other}::Thing")));
        }
    }
}

#[test]
fn a_path_that_begins_elsewhere_in_the_crate_leads_to_the_same_unit() {
    for unit in TABLE.units() {
        let up = "super::".repeat(segments(unit).len());
        let roots = if unit == "main" { vec!["::latchkey::"] } else { vec!["latchkey::", up.as_str()] };
        for other in TABLE.units().filter(|other| *other != unit && !TABLE.may(unit, other)) {
            for path in roots.iter().map(|root| format!("{root}{other}::Thing")) {
                let text = format!(
                    "//! Synthetic.\nuse {path};\nfn f() {{ {path}(1);\nrun! {{ x => {path}(1) }} }}\n"
                );
                let lines: Vec<usize> = run(unit, &text).iter().map(|one| one.line).collect();
                assert_eq!(lines, [2, 3, 4], "`{path}` in `{unit}`");
            }
        }
    }
}

#[test]
fn what_a_row_lists_is_accepted_in_every_spelling() {
    for unit in TABLE.units() {
        for other in TABLE.units().filter(|other| *other == unit || TABLE.may(unit, other)) {
            accepted(unit, &rooted(unit, &format!("{other}::Thing")));
        }
    }
}

#[test]
fn of_a_unit_that_is_partly_open_only_the_listed_names_are_accepted() {
    for names in TABLE.only {
        let opened: Vec<&str> = TABLE.units().filter(|other| names.between(names.unit, other)).collect();
        assert!(!opened.is_empty());
        for other in opened {
            for name in names.names.split(' ') {
                accepted(names.unit, &rooted(names.unit, &format!("{other}::{name}")));
                accepted(names.unit, &rooted(names.unit, &format!("{other}::{name}::new")));
            }
            for name in ["now", "Thing", "inner::start"] {
                refused(names.unit, &rooted(names.unit, &format!("{other}::{name}")));
            }
            let glob = format!("//! Synthetic.\nuse crate::{other}::*;\n");
            assert_eq!(run(names.unit, &glob).len(), 1, "a glob over `{other}` in `{}`", names.unit);
        }
    }
}

#[test]
fn of_a_unit_that_is_open_the_withheld_names_are_refused() {
    for names in TABLE.never {
        for name in names.names.split(' ') {
            refused(names.unit, &rooted(names.unit, &format!("{}::Thing::{name}", names.of)));
            for body in [format!("value.{name}()"), format!("say!(\"{{}}\", value.{name}())")] {
                let found = run(names.unit, &format!("//! Synthetic.\nfn f() {{ {body}; }}\n"));
                assert_eq!(found.len(), 1, "{body}");
                assert_eq!((found[0].line, found[0].used.clone()), (2, format!(".{name}()")));
            }
        }
    }
}

#[test]
fn what_one_unit_owns_is_refused_elsewhere_in_every_spelling() {
    for (rule, path) in owned_paths() {
        let parts = TABLE.parts.iter().map(|part| part.path);
        for module in TABLE.units().chain(parts).filter(|module| !rule.owned(&segments(module))) {
            refused(module, &path);
        }
    }
}

#[test]
fn what_a_unit_owns_is_accepted_there_in_every_spelling() {
    for (rule, path) in owned_paths() {
        for owner in rule.units.split(' ') {
            accepted(owner, &path);
        }
    }
}

#[test]
fn a_glob_that_would_hide_an_owned_path_is_refused() {
    for glob in ["std", "tokio", "std::io", "std::time", "tonic::transport", "tokio::task", "std::process"] {
        for unit in ["model", "lint", "policy"] {
            let found = run(unit, &format!("//! Synthetic.\nuse {glob}::*;\n"));
            assert_eq!(found.len(), 1, "`use {glob}::*` in `{unit}`");
            assert_eq!(found[0].used, format!("{glob}::*"));
        }
    }
    assert!(run("model", "//! Synthetic.\nuse std::io::prelude::*;\nuse std::collections::*;\n").is_empty());
}

#[test]
fn a_violation_is_printed_with_its_place_and_its_reason() {
    let found = run("policy", "//! Synthetic.\n\nuse crate::net::Client;\n");
    assert_eq!(
        found[0].to_string(),
        "src/policy.rs:3: unit `policy` may not use `net::Client`: decides from nouns alone (it may use: model error text)"
    );
}

/// Each path of the table's second half, with a library's wildcard filled in and something taken from a whole library.
fn owned_paths() -> Vec<(&'static Alone, String)> {
    let mut all = Vec::new();
    for rule in TABLE.alone {
        for path in rule.paths.split(' ') {
            let whole = !path.contains("::");
            let path = path.replace('*', "some");
            all.push((rule, if whole { format!("{path}::Thing") } else { path }));
        }
    }
    all
}

/// A path of the crate as it is written in a unit.
fn rooted(unit: &str, path: &str) -> String {
    let root = if unit == "main" { "latchkey" } else { "crate" };
    format!("{root}::{path}")
}

fn refused(module: &str, path: &str) {
    for Spelling { text, line, how } in spellings(path) {
        let found = run(module, &text);
        let unit = TABLE.unit(&segments(module)).expect("a unit of the table");
        let there = found.iter().any(|one| one.line == line && one.unit == unit);
        assert!(there, "`{path}` in `{module}`, {how}, was let through:\n{text}\n{found:?}");
    }
}

fn accepted(module: &str, path: &str) {
    for Spelling { text, how, .. } in spellings(path) {
        // Renaming `tonic` is not what the owner of a part of it may do.
        if how.starts_with("through") && !may_rename(module, &text) {
            continue;
        }
        let found = run(module, &text);
        assert!(found.is_empty(), "`{path}` in `{module}`, {how}, was refused:\n{text}\n{found:?}");
    }
}

fn may_rename(module: &str, text: &str) -> bool {
    let renamed = text.split("use ").nth(1).and_then(|rest| rest.split(" as ").next()).expect("a renaming");
    let path = segments(renamed);
    TABLE.owner(&path).is_none_or(|rule| rule.owned(&segments(module)))
}

fn run(module: &str, text: &str) -> Vec<Violation> {
    let mut path = module.replace("::", "/");
    if TABLE.units().any(|unit| unit != module && covers(&format!("{module}::*"), unit)) {
        path.push_str("/mod");
    }
    check(&TABLE, &[Source::new(&format!("src/{path}.rs"), text)])
}

/// Every spelling of a path. A `!` at its end says that it is a macro.
fn spellings(path: &str) -> Vec<Spelling> {
    match path.strip_suffix('!') {
        Some(path) => macro_spellings(path),
        None => path_spellings(path),
    }
}

fn path_spellings(path: &str) -> Vec<Spelling> {
    let (first, rest) = path.split_once("::").expect("a path of two segments");
    let one = |how, body: String| Spelling { text: format!("//! Synthetic.\n{body}\n"), line: 2, how };
    let mut all = vec![
        one("use", format!("use {path};")),
        one("nested use", format!("use {first}::{{{}}};", nested(rest))),
        one("pub use", format!("pub use {path};")),
        one("pub(crate) use", format!("pub(crate) use {path};")),
        one("renamed use", format!("use {path} as other;")),
        one("unnamed use", format!("use {path} as _;")),
        one("use in a function", format!("fn f() {{ use {path}; }}")),
        one("expression", format!("fn f() {{ let _ = {path}(1); }}")),
        one("method on the type", format!("fn f() {{ let _ = <{path}>::new(); }}")),
        one("type", format!("struct S {{ field: Vec<{path}> }}")),
        one("bound", format!("fn f<T: {path}>(_: T) {{}}")),
        one("pattern", format!("fn f() {{ if let {path}(x) = y {{}} }}")),
        one("attribute", format!("#[derive({path})] struct S;")),
        one("string of serde", format!("struct S {{ #[serde(with = \"{path}\")] field: u8 }}")),
        one("macro", format!("fn f() {{ run! {{ go => {path}(1) }} }}")),
        one("macro in a macro", format!("fn f() {{ run!(1, [say!(x = {path})]); }}")),
        one("use in a macro", format!("fn f() {{ run! {{ use {path}; }} }}")),
        one("rules of a macro", format!("macro_rules! m {{ ($x:expr) => {{ {path}($x) }}; }}")),
        one("impl in a module", format!("mod inner {{ impl T for {path} {{}} }}")),
    ];
    all.extend(aliases(path, ""));
    all
}

fn macro_spellings(path: &str) -> Vec<Spelling> {
    let name = path.rsplit("::").next().expect("a last segment");
    let one = |how, body: String| Spelling { text: format!("//! Synthetic.\n{body}\n"), line: 2, how };
    let mut all = vec![
        one("use", format!("use {path};")),
        one("pub use", format!("pub use {path};")),
        one("renamed use", format!("use {path} as other;")),
        one("call", format!("fn f() {{ {path}!(1); }}")),
        one("item", format!("{path}!(1);")),
        one("call in a macro", format!("fn f() {{ run! {{ go => {path}!(1) }} }}")),
    ];
    if path.starts_with("std::") {
        all.push(one("bare call", format!("fn f() {{ {name}!(1); }}")));
        all.push(one("bare call in a macro", format!("fn f() {{ run! {{ go => {name}!(1) }} }}")));
    }
    all.extend(aliases(path, "!"));
    all
}

/// Renames each beginning of the path and goes on through the new name.
fn aliases(path: &str, mark: &str) -> Vec<Spelling> {
    let parts = segments(path);
    let mut all = Vec::new();
    for length in 1..parts.len() {
        let (before, after) = (parts[..length].join("::"), parts[length..].join("::"));
        for (how, used) in [
            ("through an alias", format!("fn f() {{ let _ = other::{after}{mark}(1); }}")),
            ("through an alias in a macro", format!("fn f() {{ run! {{ other::{after}{mark}(1) }} }}")),
            (
                "through an alias of an alias",
                format!("use other as more; fn f() {{ more::{after}{mark}(1) }}"),
            ),
            ("through an alias and a use", format!("use other::{after};")),
        ] {
            let text = format!("//! Synthetic.\nuse {before} as other;\n{used}\n");
            all.push(Spelling { text, line: 3, how });
        }
    }
    all
}

/// `a::b::c` as `a::{b::{c}}`.
fn nested(path: &str) -> String {
    let parts = segments(path);
    format!("{}{}", parts.join("::{"), "}".repeat(parts.len() - 1))
}
