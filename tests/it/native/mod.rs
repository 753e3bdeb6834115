//! The native dialect: what a class means, and every way in which one is refused.

mod paths;
mod vault;

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey::dialect::native::Native;
use latchkey::dialect::{Dialect, Facts};
use latchkey::error::{Problem, Problems, Reason};
use latchkey::model::locator::local;
use latchkey::model::{
    Attributes, Audience, Body, Catalog, Cut, Defaults, Entry, FileMode, PathRule, Plan, StoreName,
};
use latchkey::secret::DigestKey;
use latchkey::yaml::{self, Limits};
use proptest::prelude::*;

fn catalog() -> Catalog {
    let entry = |store: &str, audience: Option<&str>| {
        let store = StoreName::parse(store).unwrap();
        let access = local::Access { store: store.clone(), audience: audience.map(Audience::new) };
        Entry { store, defaults: Defaults::Local(access), fresh: None }
    };
    Catalog::new([entry("local", None), entry("team", Some("latchkey"))])
}

fn class(parameters: &[(&str, &str)]) -> Result<Plan, Problems> {
    let attributes: BTreeMap<_, _> =
        parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let digests = DigestKey::new(&[7; 32]);
    let facts = Facts { mode: FileMode::DEFAULT, publish: false, digests: &digests };
    Native.parse(&Attributes::new(attributes), facts, &catalog())
}

/// A class with one good secret `db`, and these files.
fn files(files: &str) -> Result<Plan, Problems> {
    class(&[("secrets", "db: { store: local, path: prod/db }"), ("files", files)])
}

fn secrets(secrets: &str) -> Result<Plan, Problems> {
    class(&[("secrets", secrets)])
}

/// The only problem, which is `invalid` and has a remedy.
fn only(outcome: Result<Plan, Problems>) -> Problem {
    let problems: Vec<Problem> = outcome.expect_err("the class is wrong").into_iter().collect();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(problem.reason, Reason::Invalid);
    assert!(!problem.remedy.is_empty(), "{problem}");
    problem.clone()
}

/// Asserts that the class has one problem, there, in these words.
fn refused(outcome: Result<Plan, Problems>, parameter: &str, at: (u32, u32), words: &[&str]) {
    let problem = only(outcome);
    assert_eq!(
        (problem.place.parameter.as_deref(), problem.place.at),
        (Some(parameter), Some(at)),
        "{problem}"
    );
    for word in words {
        assert!(problem.to_string().contains(word), "`{word}` is missing from: {problem}");
    }
}

fn pieces(plan: &Plan) -> Vec<(String, String, String)> {
    plan.files()
        .iter()
        .map(|file| {
            let path = match &file.path {
                PathRule::One(path) => path.to_string(),
                PathRule::Spread(path) => format!("{path}/*"),
            };
            let Body::Cut { source, cut } = &file.body;
            let name = &plan.sources()[*source].name;
            let piece = match cut {
                Cut::Whole => name.clone(),
                Cut::Field(field) | Cut::Decoded(field, _) => format!("{name} field {field}"),
            };
            (path, piece, file.mode.to_string())
        })
        .collect()
}

fn expect(plan: &Plan, expected: &[(&str, &str, &str)]) {
    let owned = |(a, b, c): &(&str, &str, &str)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned());
    assert_eq!(pieces(plan), expected.iter().map(owned).collect::<Vec<_>>());
}

#[test]
fn a_class_says_what_to_read_and_what_to_write() {
    let plan = class(&[
        (
            "secrets",
            "db:    { store: local, path: prod/db, version: 3, fresh: 5m }\nflags: { store: team, path: prod/flags, optional: true }\n",
        ),
        (
            "files",
            "db/username: db.username\ndb/password: { from: db.password, mode: \"0440\" }\nodd: { from: db, field: a.b/c }\nall: db\ndotted: db.a.b\nflags.json: flags\n",
        ),
    ])
    .unwrap();
    let [db, flags] = plan.sources() else { panic!("two sources") };
    assert_eq!((db.name.as_str(), db.locator.to_string().as_str()), ("db", "prod/db?version=3"));
    assert_eq!((db.want.optional, db.want.fresh), (false, Some(Duration::from_secs(300))));
    assert_eq!((db.access.store().as_str(), db.access.audience()), ("local", None));
    assert_eq!(flags.locator.to_string(), "prod/flags");
    assert_eq!((flags.want.optional, flags.want.fresh), (true, None));
    assert_eq!(flags.access.audience().map(Audience::as_str), Some("latchkey"));
    expect(
        &plan,
        &[
            ("db/username", "db field username", "0644"),
            ("db/password", "db field password", "0440"),
            ("odd", "db field a.b/c", "0644"),
            ("all", "db", "0644"),
            ("dotted", "db field a.b", "0644"),
            ("flags.json", "flags", "0644"),
        ],
    );
    assert_eq!(plan.files()[1].at, Some((2, 1)));
}

#[test]
fn without_files_every_secret_stands_under_its_own_name() {
    let plan = secrets("a: { store: local, path: x }\nb_2: { store: local, path: y }\n").unwrap();
    expect(&plan, &[("a/*", "a", "0644"), ("b_2/*", "b_2", "0644")]);
}

#[test]
fn files_without_a_mode_take_the_one_that_the_driver_asks_for() {
    let digests = DigestKey::new(&[7; 32]);
    let facts = Facts { mode: FileMode::parse_octal("0400").unwrap(), publish: false, digests: &digests };
    let with = |parameters: &[(&str, &str)]| {
        let owned = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Native.parse(&Attributes::new(owned), facts, &catalog()).unwrap()
    };
    let secrets = ("secrets", "db: { store: local, path: prod/db }");
    expect(&with(&[secrets]), &[("db/*", "db", "0400")]);
    expect(
        &with(&[secrets, ("files", "a: db\nb: { from: db }\nc: { from: db, mode: 0640 }")]),
        &[("a", "db", "0400"), ("b", "db", "0400"), ("c", "db", "0640")],
    );
}

#[test]
fn an_alias_repeats_a_secret() {
    let plan = secrets("a: &a { store: local, path: x }\nb: *a\n").unwrap();
    assert_eq!(plan.sources()[1].locator.to_string(), "x");
}

#[test]
fn the_parameters_are_listed_for_those_who_need_them() {
    let params: Vec<&str> = Native.params().iter().map(|param| param.name).collect();
    assert_eq!((Native.provider(), params), ("latchkey", vec!["secrets", "files"]));
    assert!(Native.params().iter().all(|param| param.summary.ends_with('.')));
}

#[test]
fn y_01_what_is_not_yaml_is_refused_with_parameter_line_and_column() {
    refused(secrets("["), "secrets", (1, 2), &["correct the YAML"]);
    refused(secrets("db:\n\tstore: local\n"), "secrets", (2, 1), &["tab"]);
    refused(files("a: db\nb: [\n"), "files", (3, 1), &["a value is missing", "correct the YAML"]);
}

#[test]
fn y_03_a_class_without_objects_is_refused() {
    for text in [None, Some(""), Some("{}"), Some("~"), Some("---"), Some("# db: {}")] {
        let parameters: Vec<_> = text.map(|text| ("secrets", text)).into_iter().collect();
        let problem = only(class(&parameters));
        assert_eq!(problem.what, "the class asks for no objects", "{text:?}");
        assert_eq!(problem.place.parameter.as_deref(), Some("secrets"));
        assert!(problem.remedy.contains("name at least one secret"));
    }
    for text in ["", "{}", "~"] {
        refused(files(text), "files", (1, 1), &["names no file", "remove the parameter"]);
    }
    refused(secrets("[]"), "secrets", (1, 1), &["is a list", "a mapping of names to secrets"]);
    refused(secrets("db"), "secrets", (1, 1), &["is text"]);
    refused(files("- a"), "files", (1, 1), &["is a list", "a mapping of paths to secrets"]);
}

#[test]
fn y_05_a_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
    }
    refused(secrets(&bomb), "secrets", (4, 45), &["10000 nodes"]);
    refused(files(&bomb), "files", (4, 45), &["10000 nodes"]);
    refused(secrets(&" ".repeat(300_000)), "secrets", (1, 1), &["300000 bytes, 262144 at most"]);
}

#[test]
fn y_07_two_documents_are_refused() {
    refused(secrets("db: { store: local, path: x }\n---\n"), "secrets", (2, 1), &["second document"]);
}

#[test]
fn y_09_words_that_old_yaml_takes_for_booleans_are_names_and_fields() {
    let plan = class(&[
        ("secrets", "no: { store: local, path: on }\non: { store: local, path: 1e3 }\ny: { store: local, path: 0123 }"),
        ("files", "no: no.off\non: on\n0123: y.1e3\n"),
    ])
    .unwrap();
    let paths: Vec<_> = plan.sources().iter().map(|source| source.locator.to_string()).collect();
    assert_eq!(paths, ["on", "1e3", "0123"]);
    expect(&plan, &[("no", "no field off", "0644"), ("on", "on", "0644"), ("0123", "y field 1e3", "0644")]);
}

#[test]
fn y_11_unknown_keys_are_refused_with_the_nearest_known_one() {
    refused(
        secrets("db: { store: local, path: x, Path: y }"),
        "secrets",
        (1, 30),
        &["secret `db`", "no key `Path`", "did you mean `path`?"],
    );
    refused(
        secrets("db:\n  store: local\n  path: x\n  versoin: 2\n"),
        "secrets",
        (4, 3),
        &["did you mean `version`?", "a local secret has `store`, `path`, `version`, `optional` and `fresh`"],
    );
    refused(
        secrets("db: { store: local, path: x, zzz: 1 }"),
        "secrets",
        (1, 30),
        &["no key `zzz`", "remove it"],
    );
    refused(files("a: { from: db, feild: x }"), "files", (1, 16), &["file `a`", "did you mean `field`?"]);
    refused(files("a: { form: db }"), "files", (1, 6), &["did you mean `from`?"]);
    refused(files("a: { from: db, zzz: x }"), "files", (1, 16), &["a file has `from`, `field` and `mode`"]);
}

#[test]
fn an_unknown_parameter_is_refused_by_name() {
    let good = ("secrets", "db: { store: local, path: x }");
    let problem = only(class(&[good, ("secret", "x")]));
    assert_eq!(problem.place.parameter.as_deref(), Some("secret"));
    assert!(problem.remedy.contains("did you mean `secrets`?"), "{problem}");
    let problem = only(class(&[good, ("objects", "x")]));
    assert_eq!(problem.place.parameter.as_deref(), Some("objects"));
    assert_eq!(problem.remedy, "remove it from the class's parameters or the pod's volumeAttributes");
}

#[test]
fn a_key_of_another_kind_of_store_says_what_a_local_secret_has() {
    for (key, kind) in [("name", "aws"), ("vault", "azure"), ("role", "vault or aws"), ("project", "gcp")] {
        refused(
            secrets(&format!("db: {{ store: local, path: x, {key}: y }}")),
            "secrets",
            (1, 30),
            &[key, kind, "a local secret has `store`, `path`"],
        );
    }
}

#[test]
fn merge_keys_are_refused() {
    refused(
        secrets("a: &a { store: local, path: x }\nb: { <<: *a, store: local, path: y }"),
        "secrets",
        (2, 6),
        &["merge keys"],
    );
    refused(files("a: { <<: {}, from: db }"), "files", (1, 6), &["merge keys"]);
}

#[test]
fn what_comes_later_is_refused_by_name() {
    for key in ["template", "as", "encoding"] {
        refused(
            files(&format!("a: {{ from: db, {key}: x }}")),
            "files",
            (1, 16),
            &[&format!("`{key}` is not yet supported")],
        );
    }
    refused(files("a: { template: \"{{ db }}\" }"), "files", (1, 6), &["`template` is not yet supported"]);
}

#[test]
fn a_secret_needs_a_store_and_a_path() {
    refused(secrets("db: { path: x }"), "secrets", (1, 1), &["names no store"]);
    refused(secrets("db: { store: local }"), "secrets", (1, 1), &["names no path"]);
    refused(secrets("db: { store: [local], path: x }"), "secrets", (1, 14), &["`store` is a list"]);
    refused(secrets("db: { store: , path: x }"), "secrets", (1, 12), &["`store` is nothing"]);
    refused(secrets("db: local"), "secrets", (1, 5), &["is text, where a mapping"]);
    refused(
        secrets("db:\nx: { store: local, path: x }"),
        "secrets",
        (1, 3),
        &["is nothing, where a mapping"],
    );
    let problems = secrets("db: { store: locale, path: x }").unwrap_err();
    assert_eq!(problems.reason(), Reason::Setup);
    let text = problems.text();
    assert!(
        text.contains("line 1, column 14") && text.contains("`locale`") && text.contains("`local`?"),
        "{text}"
    );
}

#[test]
fn a_path_of_the_store_is_checked() {
    let long = "a".repeat(513);
    for path in ["/a", "a/", "a//b", "a/../b", ".", "'a b'", "''", "'a/{x}'", "ä", long.as_str(), "[a]", "~"]
    {
        refused(
            secrets(&format!("db: {{ store: local, path: {path} }}")),
            "secrets",
            (1, 27),
            &["`path` does not name an entry", "components joined by `/`"],
        );
    }
    secrets(&format!("db: {{ store: local, path: {} }}", "a".repeat(512))).unwrap();
}

#[test]
fn names_of_secrets_are_plain_words() {
    for name in ["DB", "1a", "a-b", "a.b", "''", "_a", "ä", "'a b'", "<<", "~"] {
        refused(
            secrets(&format!("{name}: {{ store: local, path: x }}")),
            "secrets",
            (1, 1),
            &["the name of the secret", "lower-case"],
        );
    }
}

#[test]
fn versions_are_whole_numbers_from_one_on() {
    for good in ["1", "42", "'7'", "18446744073709551615"] {
        secrets(&format!("db: {{ store: local, path: x, version: {good} }}")).unwrap();
    }
    for bad in
        ["0", "-1", "+1", "1.5", "01", "0x1", "1e3", "latest", "18446744073709551616", "[1]", "~", "''"]
    {
        refused(
            secrets(&format!("db: {{ store: local, path: x, version: {bad} }}")),
            "secrets",
            (1, 39),
            &["`version` is not a whole number from 1 on"],
        );
    }
}

#[test]
fn freshness_is_a_number_with_a_unit() {
    for (text, seconds) in [("0", 0), ("60s", 60), ("5m", 300), ("1h", 3600), ("'90s'", 90), ("0s", 0)] {
        let plan = secrets(&format!("db: {{ store: local, path: x, fresh: {text} }}")).unwrap();
        assert_eq!(plan.sources()[0].want.fresh, Some(Duration::from_secs(seconds)), "{text}");
    }
    for bad in [
        "60",
        "s",
        "1d",
        "-1s",
        "+1s",
        "1.5h",
        "5 m",
        "1h30m",
        "5é",
        "18446744073709551615h",
        "[1s]",
        "~",
        "''",
    ] {
        refused(
            secrets(&format!("db: {{ store: local, path: x, fresh: {bad} }}")),
            "secrets",
            (1, 37),
            &["`fresh` is not a duration like `60s`"],
        );
    }
}

#[test]
fn optional_is_true_or_false() {
    for bad in ["yes", "'true'", "1", "~", "[true]"] {
        refused(
            secrets(&format!("db: {{ store: local, path: x, optional: {bad} }}")),
            "secrets",
            (1, 40),
            &["`optional` is not `true` or `false`"],
        );
    }
}

#[test]
fn a_file_of_an_undeclared_secret_is_refused_with_the_nearest() {
    refused(files("a: dbb.password"), "files", (1, 4), &["no secret `dbb`", "did you mean `db`?"]);
    refused(files("a: { from: other }"), "files", (1, 12), &["no secret `other`", "declare it in `secrets`"]);
    refused(files("a: .x"), "files", (1, 4), &["no secret ``"]);
}

#[test]
fn a_secret_that_no_file_uses_is_refused() {
    let two = "db: { store: local, path: x }\nidle: { store: local, path: y }\n";
    refused(
        class(&[("secrets", two), ("files", "a: db")]),
        "secrets",
        (2, 1),
        &["secret `idle`", "no file uses", "or remove it"],
    );
    // A reference that cannot be made out may have meant it.
    refused(
        class(&[("secrets", two), ("files", "a: db\nb: idel")]),
        "files",
        (2, 4),
        &["did you mean `idle`?"],
    );
}

#[test]
fn fields_are_named_once_and_not_empty() {
    refused(files("a: { from: db.x, field: y }"), "files", (1, 25), &["named twice"]);
    refused(files("a: db."), "files", (1, 4), &["missing behind the dot"]);
    refused(files("a: { from: db, field: '' }"), "files", (1, 23), &["`field` is empty"]);
    refused(files("a: { from: db, field: }"), "files", (1, 21), &["`field` is nothing"]);
    refused(files("a: { from: db, field: [x] }"), "files", (1, 23), &["`field` is a list"]);
}

#[test]
fn a_file_is_text_or_a_mapping() {
    refused(files("a:"), "files", (1, 2), &["is nothing, where `name`, `name.field` or"]);
    refused(files("a: [db]"), "files", (1, 4), &["is a list, where `name`"]);
    refused(files("a: {}"), "files", (1, 4), &["names no secret"]);
    refused(files("a: { mode: \"0400\" }"), "files", (1, 4), &["add `from:`"]);
    refused(files("a: { from: [db] }"), "files", (1, 12), &["`from` is a list"]);
}

#[test]
fn every_problem_of_both_parameters_is_told_at_once() {
    let problems = class(&[
        ("object", ""),
        (
            "secrets",
            "db: { store: local, pth: x, version: 0, optional: maybe, fresh: 3 }\nB: { store: nowhere, path: ../x }\n",
        ),
        (
            "files",
            "../a: db\nb: { from: dbx, mode: 9 }\nc: { as: pem }\nd: db\nd/e: db\nf: [x]\n",
        ),
    ])
    .unwrap_err();
    let told: Vec<_> = problems
        .iter()
        .map(|problem| (problem.place.parameter.clone().unwrap_or_default().into_owned(), problem.place.at))
        .collect();
    let expected: Vec<(String, Option<(u32, u32)>)> = [
        ("object", None),
        ("secrets", Some((1, 21))),
        ("secrets", Some((1, 1))),
        ("secrets", Some((1, 38))),
        ("secrets", Some((1, 51))),
        ("secrets", Some((1, 65))),
        ("secrets", Some((2, 1))),
        ("files", Some((1, 1))),
        ("files", Some((2, 23))),
        ("files", Some((2, 12))),
        ("files", Some((3, 6))),
        ("files", Some((6, 4))),
        ("files", Some((5, 1))),
        ("secrets", Some((2, 13))),
    ]
    .map(|(parameter, at)| (parameter.to_owned(), at))
    .to_vec();
    assert_eq!(told, expected);
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
}

#[test]
fn secrets_that_cannot_be_read_do_not_hide_what_is_wrong_with_the_files() {
    let problems = class(&[("secrets", "db: ["), ("files", "../a: db\nb: other\n")]).unwrap_err();
    let parameters: Vec<_> =
        problems.iter().map(|problem| problem.place.parameter.clone().unwrap()).collect();
    assert_eq!(parameters, ["secrets", "files"]);
}

/// The text between two fences of the reference, behind a marker.
fn fenced<'a>(marker: &str, language: &str) -> &'a str {
    let page = include_str!("../../../docs/NATIVE.md");
    let (_, rest) = page.split_once(marker).expect("the reference has that part");
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect("a block follows");
    rest.split_once("```").expect("the block ends").0
}

/// The parameters of a class's manifest.
fn manifest(text: &str) -> Vec<(String, String)> {
    let root = yaml::parse(text, Limits::PARAMETER).unwrap();
    let parameters = root.get("spec").map_or(&root, |spec| spec.get("parameters").unwrap());
    let pairs = parameters.mapping().unwrap().iter();
    pairs.map(|(key, value)| (key.text().unwrap().to_owned(), value.text().unwrap().to_owned())).collect()
}

fn documented(marker: &str) -> Plan {
    let parameters = manifest(fenced(marker, "yaml"));
    let parameters: Vec<_> = parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    class(&parameters).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_examples_of_the_reference_mean_what_it_says() {
    expect(
        &documented("# The native dialect"),
        &[
            ("db/username", "db field username", "0644"),
            ("db/password", "db field password", "0440"),
            ("flags.json", "flags", "0644"),
        ],
    );
    expect(&documented("Without the parameter,"), &[("db/*", "db", "0644"), ("token/*", "token", "0644")]);
    let told =
        class(&[("secrets", "db: { store: local, pth: prod/db }"), ("files", "../x: db")]).unwrap_err();
    assert_eq!(told.text(), fenced("## Errors", "").trim_end());
}

#[test]
fn no_text_repeats_a_value() {
    let plan = class(&[
        (
            "secrets",
            "db: { store: local, path: 'hunter2!', version: hunter2, optional: hunter2, fresh: hunter2 }\nx: hunter2\n",
        ),
        ("files", "a: { from: db, mode: hunter2, template: hunter2, field: [hunter2] }\n"),
        ("other", "hunter2"),
    ]);
    let text = plan.unwrap_err().text();
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn long_words_are_cut() {
    let word = "w".repeat(900);
    let problem = only(files(&format!("a: {word}")));
    assert!(problem.what.len() < 200 && problem.what.contains('…'), "{problem}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn any_class_has_a_plan_or_problems_in_its_parameters(
        secrets in prop::collection::vec(prop::sample::select(vec![
            "db", "a", ": ", "{ ", " }", ", ", "store", "local", "path", "x/y", "\n", "  ", "optional", "true",
            "&x ", "*x", "fresh", "5m", "'", "[", "]", "<<", "~", "version", "1",
        ]), 0..30),
        files in prop::option::of(prop::collection::vec(prop::sample::select(vec![
            "a", "a/b", "..", ": ", "db", "db.x", "{ ", " }", ", ", "from", "field", "mode", "0440", "\n", "  ", "[",
            "]", "'", "~", "as",
        ]), 0..30)),
    ) {
        let (secrets, files) = (secrets.concat(), files.map(|files| files.concat()));
        let mut parameters = vec![("secrets", secrets.as_str())];
        parameters.extend(files.as_deref().map(|files| ("files", files)));
        match (class(&parameters), class(&parameters)) {
            (Ok(plan), Ok(again)) => {
                prop_assert_eq!(pieces(&plan), pieces(&again));
                prop_assert!(!plan.files().is_empty() && !plan.sources().is_empty());
            }
            (Err(problems), Err(again)) => {
                prop_assert_eq!(&problems, &again);
                for problem in problems.iter() {
                    prop_assert!(problem.place.parameter.is_some() && !problem.remedy.is_empty(), "{}", problem);
                }
            }
            _ => prop_assert!(false, "parsing is not deterministic"),
        }
    }
}
