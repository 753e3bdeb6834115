//! Ways around the table that need more than one file or more than one spelling, and what is rightly left alone.

use super::check::{Violation, check};
use super::source::Source;
use super::table::TABLE;

#[test]
fn a_name_that_another_file_imports_is_followed() {
    let open = "//! Nouns.\nuse crate::clock;\nuse tokio as t;\npub mod deep;\n";
    let deep =
        "//! More.\nfn f() { super::clock::now(); super::t::time::sleep(); crate::model::clock::now(); }\n";
    let found = run(&[("src/model/mod.rs", open), ("src/model/deep.rs", deep)]);
    assert_eq!(used(&found), ["src/model/deep.rs:2 clock::now", "src/model/deep.rs:2 tokio::time::sleep"]);
}

#[test]
fn a_unit_that_is_passed_on_by_another_is_still_that_unit() {
    let engine = "//! Engine.\npub use crate::cluster::Pod;\npub use crate::audit as watch;\n";
    let cli = "//! Commands.\nuse crate::engine::Pod;\nfn f() { crate::engine::watch::write(); }\n";
    let found = run(&[("src/engine/mod.rs", engine), ("src/cli/mod.rs", cli)]);
    assert_eq!(used(&found), ["src/cli/mod.rs:2 cluster::Pod", "src/cli/mod.rs:3 audit::write"]);
}

#[test]
fn a_library_that_is_passed_on_by_its_owner_is_still_that_library() {
    let serve = "//! Serve.\npub use tonic::Status;\npub mod wire { pub use tonic::codegen::*; }\n";
    let app = "//! App.\nuse crate::serve::{Status, wire};\nfn f() { wire::Code::Ok; }\n";
    let found = run(&[("src/serve/mod.rs", serve), ("src/app.rs", app)]);
    assert_eq!(used(&found), ["src/app.rs:2 tonic::Status", "src/app.rs:3 tonic::codegen::Code::Ok"]);
}

#[test]
fn a_glob_over_the_own_crate_is_followed() {
    let store = "//! Trait.\nuse crate::clock;\npub(crate) use tokio as t;\n";
    let local = "//! Local.\nuse super::*;\nfn f() { t::time::sleep(); clock::now(); }\n";
    let found = run(&[("src/store/mod.rs", store), ("src/store/local.rs", local)]);
    assert_eq!(used(&found), ["src/store/local.rs:3 tokio::time::sleep"]);
    let root = "//! Policy.\nuse crate::*;\nfn f() { net::send(); }\n";
    let found = run(&[("src/policy.rs", root), ("src/net.rs", "//! Net.\n")]);
    assert_eq!(used(&found), ["src/policy.rs:3 net::send"]);
}

#[test]
fn a_renamed_or_disguised_library_is_recognised() {
    for line in [
        "extern crate age as years; use years::Identity;",
        "fn f() { ::age::decrypt(); }",
        "use r#age::Identity;",
        "use age;",
        "use age::{self as years};",
        "fn age() {} fn f() { age::decrypt(); }",
        "fn f() { use crate::model as age; } fn g() { age::decrypt(); }",
        "mod inner { pub use age; } use inner::age as years;",
        "type Key = age::Key;",
        "fn f() { let _ = <Key as age::Recipient>::wrap(); }",
        "core::include!(x);",
        "use core as c; c::include!(x);",
        "fn f() { core::time::Duration::ZERO; std::env::var(x); }",
        "#[cfg_attr(feature = \"x\", derive(clap::Parser))] struct S;",
        "#[cfg(not(test))] fn f() { age::decrypt(); }",
        "#[cfg(any(test, feature = \"x\"))] fn f() { age::decrypt(); }",
        "fn f() { run!(a..age::b) }",
        "macro_rules! m { () => { use $crate::{net::send}; } }",
    ] {
        let found = run(&[("src/policy.rs", &format!("//! Policy.\n{line}\n"))]);
        assert!(!found.is_empty(), "let through: {line}");
        assert!(found.iter().all(|one| one.line == 2), "{line}");
    }
}

#[test]
fn what_only_looks_like_a_path_is_left_alone() {
    let text = r#"//! Policy: `tokio::time` is not used here.
use std::time::Duration;
use std::{fmt, io};
mod kube { pub fn list() {} }
struct Seen { age: Duration }
/// Says `crate::net::Client` and [`std::env::var`].
fn f(age: Duration, seen: Seen) -> io::Result<()> {
    kube::list();
    say!("std::env::var({age:?})", seen.age, Vec::<u8>::new(), a != (b));
    fmt::format(age);
    Ok(())
}
#[cfg(test)]
mod tests { use super::*; use crate::net::Client; fn f() { std::env::var("X"); println!(); } }
#[cfg(all(test, unix))]
fn g() { tokio::time::sleep(); }
impl Seen {
    #[cfg(test)]
    fn h() { age::decrypt(); }
}
fn j() {
    #[cfg(test)]
    let x = age::decrypt();
}
"#;
    assert_eq!(used(&run(&[("src/policy.rs", text)])), Vec::<String>::new());
}

#[test]
fn a_file_that_only_tests_compile_is_left_alone() {
    let module = "//! Policy.\n#[cfg(test)]\nmod tests;\n";
    let tests = "//! Tests.\nuse crate::net::Client;\nfn f() { println!(); }\n";
    assert!(run(&[("src/policy/mod.rs", module), ("src/policy/tests.rs", tests)]).is_empty());
    assert!(run(&[("src/policy.rs", "//! Policy.\n#![cfg(test)]\nuse crate::net::Client;\n")]).is_empty());
    assert!(run(&[("src/store/mod.rs", module), ("src/store/tests.rs", tests)]).is_empty());
}

#[test]
fn the_root_lists_modules_and_the_binary_declares_none() {
    let root =
        "//! Crate.\n#![warn(missing_docs)]\npub mod net;\npub mod proto { tonic::include_proto!(\"x\"); }\n";
    assert!(run(&[("src/lib.rs", root)]).is_empty());
    let found =
        run(&[("src/lib.rs", "//! Crate.\npub use store::local::File;\nfn f() { std::env::var(x); }\n")]);
    assert_eq!(used(&found), ["src/lib.rs:2 store::local::File", "src/lib.rs:3 std::env::var"]);
    let found =
        run(&[("src/main.rs", "//! Binary.\nmod net;\nfn main() { latchkey::cli::run(); crate::f(); }\n")]);
    assert_eq!(used(&found), ["src/main.rs:2 a module from elsewhere"]);
}

#[test]
fn code_from_elsewhere_is_refused() {
    let found =
        run(&[("src/policy.rs", "//! Policy.\n#[path = \"net.rs\"]\nmod web;\ninclude!(\"x.rs\");\n")]);
    assert_eq!(used(&found), ["src/policy.rs:2 a module from elsewhere", "src/policy.rs:4 std::include"]);
    let found = run(&[("src/policy.rs", "//! Policy.\nfn f( {\n")]);
    assert_eq!(used(&found), ["src/policy.rs:2 this text"]);
}

#[test]
fn imports_that_go_in_circles_end() {
    let one = "//! One.\nuse crate::policy::b as a;\nuse crate::policy::a as b;\npub use inner::*;\nmod inner { pub use super::*; }\nfn f() { a::c(); x::y(); }\n";
    assert!(run(&[("src/policy.rs", one)]).is_empty());
}

fn run(files: &[(&str, &str)]) -> Vec<Violation> {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    check(&TABLE, &sources)
}

fn used(found: &[Violation]) -> Vec<String> {
    found.iter().map(|one| format!("{}:{} {}", one.file, one.line, one.used)).collect()
}
