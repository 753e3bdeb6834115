//! From a plan and what was fetched to the answer: paths, modes, conflicts, versions, size.

use std::collections::BTreeMap;
use std::sync::Arc;

use latchkey::error::{Problem, Problems, Reason};
use latchkey::model::locator::local::{self, EntryPath};
use latchkey::model::{
    Access, Body, Cut, Fetched, FileMode, FileSpec, Kind, Locator, Material, Part, PathRule, Plan, RelPath,
    Rendered, Source, StoreName, VersionKey, VersionRule, Want, render, unwritable,
};
use latchkey::secret::{DigestKey, Secret};
use latchkey::serve::response;
use proptest::prelude::*;
use prost::Message as _;
use zeroize::Zeroizing;

const NO_LIMIT: usize = usize::MAX;

fn key() -> VersionKey {
    VersionKey(DigestKey::new(&[7; 32]))
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(Zeroizing::new(bytes.to_vec()))
}

fn source(name: &str) -> Source {
    let access = Access::Local(local::Access { store: StoreName::parse("local").unwrap(), audience: None });
    let path = EntryPath::parse(&format!("prod/{name}")).unwrap();
    Source {
        name: name.to_owned(),
        access: Arc::new(access),
        locator: Locator::Local(local::Locator { path, version: None }),
        want: Want::default(),
        said: Arc::default(),
    }
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn file(rule: PathRule, source: usize, cut: Cut) -> FileSpec {
    FileSpec {
        path: rule,
        mode: FileMode::DEFAULT,
        body: Body::Cut { source, cut },
        version: VersionRule::Content,
        at: None,
    }
}

fn one(at: &str, source: usize) -> FileSpec {
    file(PathRule::One(path(at)), source, Cut::Whole)
}

fn spread(at: &str, source: usize) -> FileSpec {
    file(PathRule::Spread(path(at)), source, Cut::Whole)
}

fn field(at: &str, source: usize, name: &str) -> FileSpec {
    file(PathRule::One(path(at)), source, Cut::Field(name.to_owned()))
}

fn material(body: &[u8], fields: &[(&str, &[u8])]) -> Material {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect();
    Material { parts: vec![Part { version: None, body: secret(body), fields }], kind: Kind::Static }
}

fn rendered(
    sources: &[&str],
    files: Vec<FileSpec>,
    got: Vec<Option<Material>>,
) -> Result<Rendered, Problems> {
    within(sources, files, got, NO_LIMIT)
}

fn within(
    sources: &[&str],
    files: Vec<FileSpec>,
    got: Vec<Option<Material>>,
    max: usize,
) -> Result<Rendered, Problems> {
    let plan = Plan::new(sources.iter().map(|name| source(name)).collect(), files, "files").unwrap();
    let got = Fetched::new(&plan, got).unwrap();
    render(&plan, &got, &key(), max)
}

fn refused(outcome: Result<Rendered, Problems>) -> Vec<Problem> {
    match outcome {
        Ok(_) => panic!("it was written"),
        Err(problems) => problems.into_iter().collect(),
    }
}

#[test]
fn what_cannot_be_written_is_told_beside_what_could_not_be_read() {
    let files = vec![field("a", 0, "k"), field("b", 1, "absent"), field("c", 2, "absent")];
    let plan = Plan::new(["x", "y", "z"].map(source).into(), files, "files").unwrap();
    let got = vec![Some(material(b"", &[("k", b"v")])), Some(material(b"", &[("k", b"v")])), None];
    let got = Fetched::new(&plan, got).unwrap();
    let problems = unwritable(&plan, &got);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.reason, Reason::NotFound);
    assert!(
        problem.to_string().contains("secret `y`") && problem.to_string().contains("`absent`"),
        "{problem}"
    );
}

fn contents(rendered: &Rendered) -> Vec<(&str, Vec<u8>)> {
    rendered.files().iter().map(|file| (file.path.as_str(), file.contents.share().to_vec())).collect()
}

#[test]
fn files_come_in_the_order_of_paths_with_mode_version_and_source() {
    let mut last = one("z", 0);
    last.mode = FileMode::parse_octal("0400").unwrap();
    let got = vec![Some(material(b"whole", &[("f", b"field")])), Some(material(b"other", &[]))];
    let answer = rendered(&["a", "b"], vec![last, field("a/b", 0, "f"), one("m", 1)], got).unwrap();
    assert_eq!(
        contents(&answer),
        [("a/b", b"field".to_vec()), ("m", b"other".to_vec()), ("z", b"whole".to_vec())]
    );
    let modes: Vec<_> = answer.files().iter().map(|file| (file.mode.bits(), file.source)).collect();
    assert_eq!(modes, [(0o644, 0), (0o644, 1), (0o400, 0)]);
    let ids: Vec<_> = answer.versions().iter().map(|version| version.id.as_str()).collect();
    assert_eq!(ids, ["a/b", "m", "z"]);
}

#[test]
fn p_19_bytes_are_delivered_exactly() {
    let value: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
    let got = vec![Some(material(&value, &[("f", b"\0\xff\0"), ("empty", b"")]))];
    let files = vec![one("whole", 0), field("f", 0, "f"), field("e", 0, "empty")];
    let answer = rendered(&["a"], files, got).unwrap();
    assert_eq!(contents(&answer), [("e", Vec::new()), ("f", b"\0\xff\0".to_vec()), ("whole", value)]);
}

#[test]
fn a_secret_with_fields_becomes_a_folder_and_one_without_a_file() {
    let got = vec![Some(material(b"{}", &[("user", b"u"), ("deep/er", b"d")])), Some(material(b"b", &[]))];
    let answer = rendered(&["db", "flags"], vec![spread("db", 0), spread("flags", 1)], got).unwrap();
    assert_eq!(
        contents(&answer),
        [("db/deep/er", b"d".to_vec()), ("db/user", b"u".to_vec()), ("flags", b"b".to_vec())]
    );
}

#[test]
fn a_field_that_is_no_file_name_is_refused_with_its_rule() {
    let long = "x".repeat(256);
    for (name, rule) in [
        ("", "is empty"),
        ("..", "may not contain `..`"),
        ("../up", "may not contain `..`"),
        ("/etc/passwd", "is absolute"),
        ("..data", "reserved for the driver"),
        ("a\nb", "has a control character"),
        ("a//b", "empty component"),
        (long.as_str(), "longer than 255 bytes"),
    ] {
        let got = vec![Some(material(b"", &[("good", b"g"), (name, b"hunter2")]))];
        let problems = refused(rendered(&["db"], vec![spread("db", 0)], got));
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        let text = problem.to_string();
        assert_eq!(problem.reason, Reason::Invalid);
        assert!(text.contains(rule) && text.contains("secret `db` (local prod/db)"), "{text}");
        assert!(text.contains("files:") && !text.contains("hunter2") && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_field_that_is_the_folder_of_another_is_refused() {
    let got = vec![Some(material(b"", &[("a", b"1"), ("a.b", b"2"), ("a/b/c", b"3")]))];
    let problems = refused(rendered(&["db"], vec![spread("db", 0)], got));
    assert!(problems[0].what.contains("`a` would be both a file and the folder of the field `a/b/c`"));
}

#[test]
fn every_file_that_cannot_be_written_is_named() {
    let got = vec![Some(material(b"", &[("user", b"u"), ("password", b"p")])), Some(material(b"", &[]))];
    let files = vec![
        field("a", 0, "pasword"),
        field("b", 1, "x"),
        field("c", 0, "user"),
        field("d", 0, "nothing-like-it"),
    ];
    let problems = refused(rendered(&["db", "flags"], files, got));
    assert_eq!(problems.len(), 3);
    assert!(problems.iter().all(|problem| problem.reason == Reason::NotFound));
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("file `a`") && texts[0].contains("did you mean `password`?"), "{}", texts[0]);
    assert!(texts[1].contains("file `b`") && texts[1].contains("without fields"), "{}", texts[1]);
    assert!(texts[2].contains("file `d`") && texts[2].contains("it has password, user"), "{}", texts[2]);
}

#[test]
fn a_reply_without_parts_is_the_backends_fault() {
    for files in [one("a", 0), spread("a", 0)] {
        let empty = Material { parts: Vec::new(), kind: Kind::Static };
        assert_eq!(refused(rendered(&["db"], vec![files], vec![Some(empty)]))[0].reason, Reason::Upstream);
    }
}

#[test]
fn an_absent_optional_secret_leaves_its_files_out() {
    let got = vec![None, Some(material(b"x", &[]))];
    let answer = rendered(&["a", "b"], vec![one("a", 0), spread("c", 0), one("b", 1)], got).unwrap();
    assert_eq!(contents(&answer), [("b", b"x".to_vec())]);
}

#[test]
fn an_answer_without_any_file_is_not_found() {
    let problems = refused(rendered(&["a", "b"], vec![one("a", 0), one("b", 1)], vec![None, None]));
    assert!(problems.iter().all(|problem| problem.reason == Reason::NotFound));
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].contains("(local prod/a)") && texts[1].contains("(local prod/b)"), "{texts:?}");
}

#[test]
fn as_many_answers_as_sources_are_needed() {
    let plan = Plan::new(vec![source("a")], vec![one("a", 0)], "files").unwrap();
    assert!(Fetched::new::<Material>(&plan, vec![]).is_none());
    assert!(Fetched::new::<Material>(&plan, vec![None, None]).is_none());
}

#[test]
fn the_limit_is_the_encoded_size_to_the_byte() {
    let build = |max| {
        let got = vec![Some(material(&[1; 300], &[("f", &[2; 20])]))];
        within(&["a"], vec![one("large", 0), field("small", 0, "f")], got, max)
    };
    let size = response(build(NO_LIMIT).unwrap()).encoded_len();
    assert!(build(size).is_ok());
    let problems = refused(build(size - 1));
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.reason, Reason::TooLarge);
    assert!(problem.what.contains(&format!("{size} bytes, of which `large` has 300")), "{problem}");
    assert!(problem.what.contains(&format!("{} at most", size - 1)), "{problem}");
    assert!(problem.remedy.contains("--max-call-recv-msg-size"), "{problem}");
}

#[test]
fn another_key_makes_other_versions() {
    let plan = Plan::new(vec![source("a")], vec![one("a", 0)], "files").unwrap();
    let got = || Fetched::new(&plan, vec![Some(material(b"x", &[]))]).unwrap();
    let mine = render(&plan, &got(), &key(), NO_LIMIT).unwrap();
    let theirs = render(&plan, &got(), &VersionKey(DigestKey::new(&[8; 32])), NO_LIMIT).unwrap();
    assert_ne!(mine.versions(), theirs.versions());
    assert_eq!(mine.versions()[0].version.len(), 32);
}

#[test]
fn p_13_conflicts_between_files_are_refused_with_the_place_of_the_second() {
    let at = |mut file: FileSpec, line: u32| {
        file.at = Some((line, 1));
        file
    };
    let conflict = |first: FileSpec, second: FileSpec| -> Vec<(String, Option<(u32, u32)>)> {
        match Plan::new(vec![source("a")], vec![at(first, 1), at(second, 2)], "files") {
            Ok(_) => Vec::new(),
            Err(problems) => {
                assert!(problems.iter().all(|p| p.place.parameter.as_deref() == Some("files")));
                problems.into_iter().map(|problem| (problem.what, problem.place.at)).collect()
            }
        }
    };
    for (first, second, what, line) in [
        (one("a", 0), one("a", 0), "the path `a` is used twice, first at line 1, column 1", 2),
        (one("a", 0), spread("a", 0), "the path `a` is used twice, first at line 1, column 1", 2),
        (
            one("a", 0),
            one("a/b/c", 0),
            "`a` is both a file and the folder of `a/b/c`, first at line 1, column 1",
            2,
        ),
        (
            one("a/b/c", 0),
            one("a/b", 0),
            "`a/b` is both a file and the folder of `a/b/c`, first at line 2, column 1",
            1,
        ),
        (
            spread("a", 0),
            one("a/b", 0),
            "`a` is both a file and the folder of `a/b`, first at line 1, column 1",
            2,
        ),
    ] {
        assert_eq!(conflict(first, second), [(what.to_owned(), Some((line, 1)))]);
    }
    for (first, second) in [("a", "ab"), ("a/b", "a/c"), ("a-b", "a/b"), ("\u{e9}", "e\u{301}")] {
        assert!(conflict(one(first, 0), one(second, 0)).is_empty(), "{first} {second}");
    }
}

#[test]
fn a_plan_has_one_object_and_five_hundred_at_most() {
    let files = |count: usize| (0..count).map(|n| one(&format!("f{n}"), 0)).collect::<Vec<_>>();
    let sources = |count: usize| (0..count).map(|n| source(&format!("s{n}"))).collect::<Vec<_>>();
    let what =
        |sources, files| Plan::new(sources, files, "files").unwrap_err().iter().next().unwrap().what.clone();
    assert!(what(sources(1), vec![]).contains("asks for no objects"));
    assert!(Plan::new(sources(500), files(500), "files").is_ok());
    assert!(what(sources(1), files(501)).contains("501 objects in one mount, 500 at most"));
    assert!(what(sources(502), files(1)).contains("502 objects in one mount, 500 at most"));
    assert!(Plan::review(1, &files(1), "files").is_empty());
}

#[test]
fn the_folders_above_a_path_are_named_from_the_root() {
    assert_eq!(path("a/b/c").ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
    assert_eq!(path("a").ancestors().count(), 0);
}

#[test]
fn a_joined_path_keeps_every_rule() {
    assert_eq!(path("a").join("b/c").unwrap().as_str(), "a/b/c");
    // Reserved only at the root, yet a field of that name is refused: elsewhere it would stand at the root.
    assert!(path("a").join("..b").is_err());
    let deep = path(&vec!["x".repeat(200); 20].join("/"));
    assert_eq!(deep.join(&"y".repeat(200)), Err("is longer than 4096 bytes"));
}

#[test]
fn a_mode_is_at_most_five_octal_digits_up_to_07777() {
    for (text, bits) in
        [("0", 0), ("7", 7), ("0000", 0), ("0644", 0o644), ("644", 0o644), ("07777", 0o7777), ("0o17", 0o17)]
    {
        assert_eq!(FileMode::parse_octal(text).map(FileMode::bits), Some(bits), "{text}");
    }
    for text in ["", "0o", "8", "010000", "17777", "000644", "-1", "+7", " 7", "0.5", "0x1", "0O17", "７"] {
        assert_eq!(FileMode::parse_octal(text), None, "{text}");
    }
}

#[test]
fn the_drivers_permission_is_a_decimal_number() {
    for (text, bits) in [("420", 0o644), ("0", 0), (" 256\n", 0o400), ("4095", 0o7777), ("null", 0)] {
        assert_eq!(FileMode::parse_permission(text).map(FileMode::bits), Some(bits), "{text:?}");
    }
    for text in [
        "",
        "0644",
        "4096",
        "-1",
        "-0",
        "1.0",
        "1e2",
        "\"420\"",
        "NULL",
        "nul",
        "420 5",
        "\u{a0}420",
        "4294967296",
        "99999999999999999999",
    ] {
        assert_eq!(FileMode::parse_permission(text), None, "{text:?}");
    }
}

/// Lexical cleaning as the driver does it: Go's `path/filepath.Clean`, from its documentation.
fn clean(text: &str) -> String {
    let rooted = text.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => drop(kept.pop()),
            ".." if rooted => {}
            other => kept.push(other),
        }
    }
    match (rooted, kept.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

fn pathish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", ".", "..", "...", "/", "//", "..a", ".a", " ", "é", "\\", "\n", "\u{7f}",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// What the driver takes, and what Linux can write, in other words than the code's.
fn legal(text: &str) -> bool {
    clean(text) == text
        && text != "."
        && !text.starts_with('/')
        && !text.starts_with("..")
        && text.split('/').all(|component| component != ".." && component.len() <= 255)
        && text.len() <= 4096
        && !text.trim().is_empty()
        && !text.chars().any(char::is_control)
}

type Fields = BTreeMap<String, Vec<u8>>;

fn build(secrets: &[(Vec<u8>, Fields, u32)]) -> Rendered {
    let mut plan = (Vec::new(), Vec::new());
    let mut got = Vec::new();
    for (index, (body, fields, mode)) in secrets.iter().enumerate() {
        plan.0.push(source(&format!("s{index}")));
        let mut file = spread(&format!("s{index}"), index);
        file.mode = FileMode::from_bits(*mode).unwrap();
        plan.1.push(file);
        let fields: Vec<(&str, &[u8])> = fields.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
        got.push(Some(material(body, &fields)));
    }
    let plan = Plan::new(plan.0, plan.1, "files").unwrap();
    let got = Fetched::new(&plan, got).unwrap();
    render(&plan, &got, &key(), NO_LIMIT).unwrap_or_else(|problems| panic!("{problems}"))
}

fn inputs() -> impl Strategy<Value = Vec<(Vec<u8>, Fields, u32)>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let fields = prop::collection::btree_map("[a-z]{1,12}", bytes(), 0..4);
    let mode = prop::sample::select(vec![0, 1, 0o177, 0o200, 0o644, 0o7777]);
    prop::collection::vec((bytes(), fields, mode), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p_01_a_path_is_taken_exactly_where_the_driver_and_linux_take_it(text in pathish()) {
        let parsed = RelPath::parse(&text);
        prop_assert_eq!(parsed.is_ok(), legal(&text), "{:?}: {:?}", text, parsed);
        if let Ok(path) = parsed {
            prop_assert_eq!(clean(&text), text.clone());
            prop_assert_eq!(path.as_str(), text.as_str());
        }
    }

    #[test]
    fn lengths_of_paths_are_bounded_to_the_byte(lengths in prop::collection::vec(1usize..270, 1..22)) {
        let text = lengths.iter().map(|length| "x".repeat(*length)).collect::<Vec<_>>().join("/");
        prop_assert_eq!(RelPath::parse(&text).is_ok(), legal(&text));
    }

    #[test]
    fn p_21_a_mode_is_read_as_it_is_written(bits in 0u32..=0o7777) {
        let mode = FileMode::from_bits(bits).unwrap();
        for text in [mode.to_string(), format!("{bits:o}"), format!("0{bits:o}"), format!("0o{bits:o}")] {
            prop_assert_eq!(FileMode::parse_octal(&text), Some(mode));
        }
        prop_assert_eq!(FileMode::parse_permission(&bits.to_string()), Some(mode));
        prop_assert_eq!(u32::from(mode.bits()), bits);
    }

    #[test]
    fn p_23_no_mode_is_above_07777(bits in 0o10000u32..) {
        prop_assert_eq!(FileMode::from_bits(bits), None);
        prop_assert_eq!(FileMode::parse_octal(&format!("{bits:o}")), None);
        prop_assert_eq!(FileMode::parse_permission(&bits.to_string()), None);
    }

    #[test]
    fn rendering_is_deterministic_ordered_and_complete(secrets in inputs()) {
        let (first, second) = (build(&secrets), build(&secrets));
        prop_assert_eq!(first.versions(), second.versions());
        prop_assert_eq!(first.digest(), second.digest());
        prop_assert_eq!(contents(&first), contents(&second));
        let paths: Vec<_> = first.files().iter().map(|file| file.path.clone()).collect();
        prop_assert!(paths.is_sorted_by(|a, b| a < b));
        prop_assert!(first.versions().iter().zip(&paths).all(|(version, path)| version.id == path.as_str()));
        prop_assert_eq!(first.versions().len(), paths.len());
        let expected: usize = secrets.iter().map(|(_, fields, _)| fields.len().max(1)).sum();
        prop_assert_eq!(paths.len(), expected);
    }

    #[test]
    fn the_size_that_is_judged_is_the_size_on_the_wire(secrets in inputs(), large in 0usize..40_000) {
        let mut secrets = secrets;
        secrets[0].0 = vec![9; large];
        secrets[0].1.clear();
        let answer = build(&secrets);
        let size = response(answer).encoded_len();
        let files: Vec<FileSpec> = secrets.iter().enumerate().map(|(index, (_, _, mode))| {
            let mut file = spread(&format!("s{index}"), index);
            file.mode = FileMode::from_bits(*mode).unwrap();
            file
        }).collect();
        let names: Vec<String> = (0..secrets.len()).map(|index| format!("s{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let got = |_: usize| secrets.iter().map(|(body, fields, _)| {
            let fields: Vec<(&str, &[u8])> = fields.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
            Some(material(body, &fields))
        }).collect::<Vec<_>>();
        prop_assert!(within(&names, files.clone(), got(0), size).is_ok());
        prop_assert!(within(&names, files, got(0), size - 1).is_err());
    }

    #[test]
    fn a_version_changes_exactly_when_its_file_does(secrets in inputs(), which in any::<prop::sample::Index>(), flip in any::<bool>()) {
        let before = build(&secrets);
        let mut changed = secrets.clone();
        let index = which.index(changed.len());
        let (body, fields, _) = &mut changed[index];
        let name = match (flip, fields.iter_mut().next()) {
            (true, Some((name, value))) => {
                value.push(0);
                format!("s{index}/{name}")
            }
            _ => {
                body.push(0);
                format!("s{index}")
            }
        };
        let after = build(&changed);
        // The body of a secret with fields is in no file.
        let written = before.files().iter().any(|file| file.path.as_str() == name);
        for (old, new) in before.versions().iter().zip(after.versions()) {
            prop_assert_eq!(old.version != new.version, old.id == name, "{}", old.id);
        }
        prop_assert_eq!(before.digest() != after.digest(), written);
    }

    #[test]
    fn equal_contents_at_two_paths_have_two_versions(value in prop::collection::vec(any::<u8>(), 0..50)) {
        let answer = rendered(&["a"], vec![one("a", 0), one("b", 0)], vec![Some(material(&value, &[]))]).unwrap();
        prop_assert_ne!(&answer.versions()[0].version, &answer.versions()[1].version);
    }

    #[test]
    fn a_mode_changes_the_digest_and_no_version(secrets in inputs()) {
        let before = build(&secrets);
        let mut changed = secrets.clone();
        changed[0].2 ^= 0o1000;
        let after = build(&changed);
        prop_assert_eq!(before.versions(), after.versions());
        prop_assert_ne!(before.digest(), after.digest());
    }

    #[test]
    fn conflicts_are_found_exactly_where_two_files_meet(paths in prop::collection::vec("[ab](/[ab]){0,2}", 1..6)) {
        let meet = paths.iter().enumerate().any(|(i, a)| {
            paths.iter().enumerate().any(|(j, b)| i != j && (a == b || b.starts_with(&format!("{a}/"))))
        });
        let files = paths.iter().map(|path| one(path, 0)).collect();
        prop_assert_eq!(Plan::new(vec![source("a")], files, "files").is_err(), meet);
    }
}
