//! `objects`: YAML as Go reads it, and each field.

use latchkey::error::Reason;
use latchkey::model::{Body, Cut, Encoding, Plan};
use proptest::prelude::*;

use super::{locators, objects, only, refused};

fn files(plan: &Plan) -> Vec<(String, String)> {
    plan.files().iter().map(|file| (file.path.root().to_string(), file.mode.to_string())).collect()
}

fn names(text: &str) -> Vec<String> {
    objects(text).unwrap().sources().iter().map(|source| source.name.clone()).collect()
}

/// The name that a scalar gives.
fn name(scalar: &str) -> String {
    names(&format!("- objectName: {scalar}\n  secretPath: x\n")).remove(0)
}

fn mode(scalar: &str) -> String {
    let plan = objects(&format!("- {{ objectName: o, secretPath: x, filePermission: {scalar} }}")).unwrap();
    files(&plan).remove(0).1
}

fn cut(fields: &str) -> Cut {
    let plan = objects(&format!("- {{ objectName: o, secretPath: x, {fields} }}")).unwrap();
    let Body::Cut { cut, .. } = &plan.files()[0].body;
    cut.clone()
}

#[test]
fn a_class_without_objects_asks_for_nothing() {
    for text in ["", "~", "null", "[]", "   \n", "- ~\n- null\n", "# nothing\n", "--- \n"] {
        let problem = only(objects(text), Reason::Invalid, "objects");
        assert!(problem.what.contains("asks for no objects"), "{text:?}: {problem}");
    }
}

#[test]
fn what_is_no_list_of_mappings_is_refused() {
    for (text, words) in [
        ("foo", "is text, where a list of objects is expected"),
        ("objectName: o", "is a mapping, where a list"),
        ("array:\n  - |\n    objectName: o\n", "write the list itself, without `array:`"),
        ("- - a\n", "object 1: the object is a list"),
        ("- ''\n", "object 1: the object is text"),
        ("- foo\n", "object 1: the object is text"),
    ] {
        let problem = only(objects(text), Reason::Invalid, "objects");
        assert!(problem.to_string().contains(words), "{problem}");
    }
}

#[test]
fn the_first_document_counts_and_nulls_are_skipped() {
    let one = "- { objectName: o, secretPath: x }\n";
    for text in [
        one.to_owned(),
        format!("---\n{one}"),
        format!("%YAML 1.1\n---\n{one}"),
        format!("{one}---\n- objectName: second\n"),
        format!("{one}---\n- a: *nowhere\n"),
        format!("{one}...\nfoo\n"),
        format!("-\n{one}- ~\n"),
        format!("\u{feff}{one}"),
        one.replace('\n', "\r\n"),
        "- objectName: o\u{85}  secretPath: x\n".to_owned(),
        "!!seq\n- !!map\n  objectName: o\n  secretPath: x\n".to_owned(),
        "[{\"objectName\":\"o\",\"secretPath\":\"x\"},]".to_owned(),
        "- ~: x\n  objectName: o\n  secretPath: x\n".to_owned(),
        "- !!binary b2JqZWN0TmFtZQ==: o\n  secretPath: x\n".to_owned(),
    ] {
        assert_eq!(names(&text), ["o"], "{text:?}");
    }
}

#[test]
fn what_go_takes_for_no_yaml_is_refused() {
    let one = "- { objectName: o, secretPath: x }\n";
    for text in [
        format!("%YAML 1.2\n---\n{one}"),
        format!("%FOO bar\n---\n{one}"),
        format!("{one}\u{feff}"),
        "- objectName: \"o\u{7f}\"\n".to_owned(),
        "- objectName: o\n\tsecretPath: x\n".to_owned(),
        "- { objectName: o, objectName: p }\n".to_owned(),
        "- { <<: {}, <<: {} }\n".to_owned(),
        "- *nowhere\n".to_owned(),
        "- &x [*x]\n".to_owned(),
        "- [a]: x\n".to_owned(),
        "- objectName: `o`\n".to_owned(),
        "- objectName: @o\n".to_owned(),
        "- objectName: a: b\n".to_owned(),
        "- objectName: \"\\q\"\n".to_owned(),
        "- objectName: \"\\ud83d\\ude00\"\n".to_owned(),
        "[{ objectName: o,, secretPath: x }]".to_owned(),
    ] {
        only(objects(&text), Reason::Invalid, "objects");
    }
}

#[test]
fn fields_that_are_not_read_are_ignored() {
    let text = "- ObjectName: no\n  objectname: no\n  objectVersion: 1\n  objectPath: { a: &x [b], c: *x }\n  \
                objectName: o\n  secretPath: x\n";
    assert_eq!(names(text), ["o"]);
}

#[test]
fn scalars_give_the_text_that_is_written() {
    for (scalar, text) in [
        ("0644", "0644"),
        ("1.50", "1.50"),
        ("1E5", "1E5"),
        ("true", "true"),
        ("2020-01-01", "2020-01-01"),
        ("!!int 5", "5"),
        ("!!str 5", "5"),
        ("!!timestamp 2020-01-01", "2020-01-01"),
        ("!foo bar", "bar"),
        ("! bar", "bar"),
        ("!!binary bw==", "o"),
        ("<<", "<<"),
        ("a #c", "a"),
        ("'it''s'", "it's"),
        ("|-\n    block\n", "block"),
        (">-\n    folded\n    text\n", "folded text"),
    ] {
        assert_eq!(name(scalar), text, "{scalar}");
    }
    for (scalar, words) in [
        ("[a]", "`objectName` is a list"),
        ("{ a: b }", "`objectName` is a mapping"),
        ("!!bool yes", "not what its tag says"),
        ("!!null x", "not what its tag says"),
        ("!!binary \"*\"", "is not base64"),
        ("!!binary /w==", "is binary that is no text"),
        ("~", "`objectName`, the path of the file, is empty"),
        ("", "is empty"),
    ] {
        let problem =
            only(objects(&format!("- objectName: {scalar}\n  secretPath: x\n")), Reason::Invalid, "objects");
        assert!(problem.to_string().contains(words), "{scalar}: {problem}");
    }
}

#[test]
fn aliases_and_merges_make_objects_of_pieces() {
    let plan = objects(
        "- &x { objectName: a, secretPath: p, secretKey: k }\n\
         - &y { objectName: b, secretPath: q, filePermission: 0600 }\n\
         - { <<: *x, objectName: c }\n\
         - { <<: [*y, *x], objectName: d, filePermission: ~ }\n\
         - { \"<<\": *x, objectName: e }\n",
    )
    .unwrap();
    let paths: Vec<String> = locators(&plan).iter().map(|locator| locator.target()).collect();
    assert_eq!(paths, ["/v1/p", "/v1/q", "/v1/p", "/v1/q", "/v1"]);
    // A null that is written hides what is merged.
    let modes: Vec<String> = files(&plan).into_iter().map(|(_, mode)| mode).collect();
    assert_eq!(modes, ["0644", "0600", "0644", "0644", "0644"]);
    refused("- { <<: foo, objectName: o }\n", (1, 9), "object 1", "merges something");
    only(objects("- &x { objectName: o, secretPath: x }\n- *x\n"), Reason::Invalid, "objects");
}

#[test]
fn modes_are_numbers_as_go_reads_them() {
    for (scalar, bits) in [
        ("0644", "0644"),
        ("0o640", "0640"),
        ("0O640", "0640"),
        ("420", "0644"),
        ("0x1a4", "0644"),
        ("0X1A4", "0644"),
        ("0b110", "0006"),
        ("0_644", "0644"),
        ("1_0_0", "0144"),
        ("+420", "0644"),
        ("420.99", "0644"),
        ("1e2", "0144"),
        ("0888", "1570"),
        ("07777", "7777"),
        ("!!int \"0640\"", "0640"),
        ("!!float 420", "0644"),
        // Not said.
        ("0", "0644"),
        ("-0", "0644"),
        ("0.5", "0644"),
        ("~", "0644"),
        ("", "0644"),
    ] {
        assert_eq!(mode(scalar), bits, "{scalar}");
    }
    for scalar in [
        "\"0644\"",
        "'420'",
        "!!str 420",
        "-1",
        "-1.5",
        "010000",
        "4294967296",
        "1e10",
        "0o888",
        "0x",
        "0b",
        "1:30",
        "true",
        ".inf",
        ".nan",
        "u=rw",
        "[]",
        "{}",
        "2020-01-01",
        "!!binary NDIw",
    ] {
        let text = format!("- {{ objectName: o, secretPath: x, filePermission: {scalar} }}");
        let problem = only(objects(&text), Reason::Invalid, "objects");
        assert!(problem.what.contains("`filePermission`"), "{scalar}: {problem}");
    }
}

#[test]
fn keys_and_encodings_choose_the_piece() {
    assert_eq!(cut("method: GET"), Cut::Whole);
    assert_eq!(cut("secretKey: ~"), Cut::Whole);
    assert_eq!(cut("encoding: rot13"), Cut::Whole, "without a key nothing is decoded");
    assert_eq!(cut("secretKey: true"), Cut::Field("true".to_owned()));
    for (encoding, wanted) in [
        ("utf-8", None),
        ("UTF-8", None),
        ("~", None),
        ("base64", Some(Encoding::Base64)),
        ("baſe64", Some(Encoding::Base64)),
        ("HEX", Some(Encoding::Hex)),
    ] {
        let key = "k".to_owned();
        let wanted = match wanted {
            None => Cut::Field(key),
            Some(how) => Cut::Decoded(key, how),
        };
        assert_eq!(cut(&format!("secretKey: k, encoding: {encoding}")), wanted, "{encoding}");
    }
    for encoding in ["utf8", "base32", "\" hex\"", "\"hex\\n\"", "8", "\u{212a}hex"] {
        let text = format!("- {{ objectName: o, secretPath: x, secretKey: k, encoding: {encoding} }}");
        refused(&text, (1, 59), "object `o`", "`encoding` is none of");
    }
}

#[test]
fn names_that_the_driver_would_refuse_or_lose_are_refused() {
    for name in ["/abs", "..foo", "a/../b", ".", "./x", "a//b", "a\\0b"] {
        let problem = only(
            objects(&format!("- {{ objectName: \"{name}\", secretPath: x }}")),
            Reason::Invalid,
            "objects",
        );
        assert!(problem.what.starts_with("`objectName`, the path of the file,"), "{problem}");
    }
    // What it was perhaps meant to be is told, so that a class with both spellings names both.
    for (name, meant) in [
        ("a//b", "`a/b`"),
        ("./x", "`x`"),
        ("a/../b", "`b`"),
        ("/abs", "`abs`"),
        ("..foo", "like"),
        ("../x", "like"),
    ] {
        let problem = only(
            objects(&format!("- {{ objectName: \"{name}\", secretPath: x }}")),
            Reason::Invalid,
            "objects",
        );
        assert!(problem.remedy.contains(meant), "{problem}");
    }
    let long = "世".repeat(86);
    let problem =
        only(objects(&format!("- {{ objectName: {long}, secretPath: x }}")), Reason::Invalid, "objects");
    assert!(problem.to_string().contains(&long), "{problem}");
    let twice = "- { objectName: a, secretPath: x }\n- { objectName: a/b, secretPath: x }\n- { objectName: a, secretPath: y }\n";
    let problems = objects(twice).unwrap_err();
    let text = problems.text();
    assert!(
        text.contains("the path `a` is used twice, first at line 1") && text.contains("`a` is both a file"),
        "{text}"
    );
}

#[test]
fn a_name_may_have_a_line_break_as_a_block_of_text_gives_it() {
    let text = "- objectName: |\n    block\n  secretPath: x\n- { objectName: \"a\\tb\", secretPath: x }\n";
    assert_eq!(names(text), ["block\n", "a\tb"]);
    // It acts on no line that a person reads.
    let problem = only(objects("- { objectName: \"a\\nb//c\", secretPath: x }"), Reason::Invalid, "objects");
    assert!(!problem.to_string().contains('\n'), "{problem}");
}

#[test]
fn at_most_500_objects_are_taken() {
    let list = |count: usize| {
        (0..count).map(|n| format!("- {{ objectName: o{n}, secretPath: x }}\n")).collect::<String>()
    };
    assert_eq!(names(&list(500)).len(), 500);
    let problem = only(objects(&list(501)), Reason::Invalid, "objects");
    assert!(problem.what.contains("501"), "{problem}");
}

proptest! {
    #[test]
    fn any_text_is_a_plan_or_problems_with_a_remedy_and_a_place(text in "(- |objectName: |secretPath: |secretArgs: |\\{|\\}|\\[|\\]|&a |\\*a|<<: |!!int |0x1|~|x|\n|  |\"|#|%){0,24}") {
        if let Err(problems) = objects(&text) {
            for problem in &problems.into_iter().collect::<Vec<_>>() {
                prop_assert!(problem.place.parameter.as_deref() == Some("objects") && !problem.remedy.is_empty(), "{}", problem);
            }
        }
    }
}
