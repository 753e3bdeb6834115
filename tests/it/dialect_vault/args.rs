//! `secretArgs`: the JSON that is sent.

use latchkey::error::Reason;
use proptest::prelude::*;

use super::{locators, objects, only};

fn body(args: &str) -> Option<String> {
    let plan = objects(&format!("- objectName: o\n  secretPath: x\n  secretArgs: {args}\n")).unwrap();
    let args = locators(&plan)[0].args.clone();
    args.map(|args| String::from_utf8(args.json.expose().to_vec()).unwrap())
}

/// The JSON of one value.
fn value(yaml: &str) -> String {
    let body = body(&format!("{{ a: {yaml} }}")).unwrap();
    body.strip_prefix("{\"a\":").and_then(|rest| rest.strip_suffix('}')).unwrap().to_owned()
}

#[test]
fn nothing_is_no_body_and_an_empty_mapping_is_one() {
    assert_eq!((body("~"), body(""), body("null")), (None, None, None));
    assert_eq!(body("{}").as_deref(), Some("{}"));
}

#[test]
fn numbers_are_read_as_go_reads_them_and_written_as_go_writes_them() {
    for (yaml, json) in [
        ("1", "1"),
        ("+5", "5"),
        ("010", "8"),
        ("0o17", "15"),
        ("0O17", "15"),
        ("0x1F", "31"),
        ("-0b11", "-3"),
        ("0888", "888"),
        ("09", "9"),
        ("1_000", "1000"),
        ("1_", "1"),
        ("0_7", "7"),
        ("-0", "0"),
        ("-0.0", "-0"),
        ("5.", "5"),
        (".5", "0.5"),
        (".5_0", "0.5"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("18446744073709551615", "18446744073709551615"),
        ("0xFFFFFFFFFFFFFFFF", "18446744073709551615"),
        ("18446744073709551616", "18446744073709552000"),
        ("-9223372036854775809", "-9223372036854776000"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
        ("!!float 3", "3"),
        ("!!int \"0x10\"", "16"),
    ] {
        assert_eq!(value(yaml), json, "{yaml}");
    }
}

#[test]
fn what_only_looks_like_a_number_or_a_boolean_stays_text() {
    for text in [
        "_1",
        "0x",
        "0b2",
        "0o8",
        "1e400",
        "0x1FFFFFFFFFFFFFFFF",
        "1:30",
        ".",
        "._5",
        ".5__0",
        "1e",
        "-x",
        "+",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "tRue",
        "nULL",
        "1.2.3",
        "24h",
    ] {
        assert_eq!(value(text), format!("\"{text}\""));
    }
    for (yaml, json) in [
        ("true", "true"),
        ("True", "true"),
        ("FALSE", "false"),
        ("~", "null"),
        ("", "null"),
        ("Null", "null"),
        ("'5'", "\"5\""),
        ("\"true\"", "\"true\""),
        ("!!str 5", "\"5\""),
        ("!foo 5", "\"5\""),
        ("<<", "\"\\u003c\\u003c\""),
    ] {
        assert_eq!(value(yaml), json, "{yaml}");
    }
}

#[test]
fn times_are_those_of_the_go_parser() {
    for (yaml, json) in [
        ("2020-01-02", "2020-01-02T00:00:00Z"),
        ("2020-1-2", "2020-01-02T00:00:00Z"),
        ("2020-01-02 3:04:05", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
        ("2020-01-02t03:04:05.1200+02:30", "2020-01-02T03:04:05.12+02:30"),
        ("2020-01-02T03:04:05.1234567899-01:00", "2020-01-02T03:04:05.123456789-01:00"),
        ("2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05Z"),
        ("2020-02-29", "2020-02-29T00:00:00Z"),
        ("!!timestamp 2020-01-02", "2020-01-02T00:00:00Z"),
        // These are none.
        ("2020-13-40", "2020-13-40"),
        ("2021-02-29", "2021-02-29"),
        ("2020-01-02T03:04:05", "2020-01-02T03:04:05"),
        ("2020-01-02T24:00:00Z", "2020-01-02T24:00:00Z"),
        ("2020-01-02 03:04:05Z", "2020-01-02 03:04:05Z"),
        ("220-01-02", "220-01-02"),
        ("\"2020-01-02\"", "2020-01-02"),
    ] {
        assert_eq!(value(yaml), format!("\"{json}\""), "{yaml}");
    }
}

#[test]
fn text_is_escaped_as_go_escapes_it() {
    for (yaml, json) in [
        ("'<a&b>'", "\"\\u003ca\\u0026b\\u003e\""),
        ("\"\\u2028\\u2029\"", "\"\\u2028\\u2029\""),
        ("\"\\b\\f\\n\\r\\t\\x01\\\\\\\"/\"", "\"\\b\\f\\n\\r\\t\\u0001\\\\\\\"/\""),
        ("é世", "\"é世\""),
        ("!!binary aGVsbG8=", "\"hello\""),
        // Bytes that are no text, one by one.
        ("!!binary 4oJB", "\"\\ufffd\\ufffdA\""),
    ] {
        assert_eq!(value(yaml), json, "{yaml}");
    }
}

#[test]
fn keys_are_texts_sorted_by_bytes() {
    assert_eq!(
        body("{ b: 1, a: 2, C: 3, _: 4, é: 5, \"\": 6 }").unwrap(),
        r#"{"":6,"C":3,"_":4,"a":2,"b":1,"é":5}"#
    );
    assert_eq!(
        body("{ 1: a, 0x10: b, true: c, 2020-01-02: d, !!binary aQ==: e, ~: gone }").unwrap(),
        r#"{"0x10":"b","1":"a","2020-01-02":"d","i":"e","true":"c"}"#
    );
    assert_eq!(value("{ z: { y: [~, {}, []] } }"), r#"{"z":{"y":[null,{},[]]}}"#);
}

#[test]
fn merge_keys_add_what_is_not_written() {
    assert_eq!(body("{ <<: { k: v, l: gone }, l: w }").unwrap(), r#"{"k":"v","l":"w"}"#);
    assert_eq!(body("{ <<: [{ a: 1 }, { a: 2, b: 3 }] }").unwrap(), r#"{"a":1,"b":3}"#);
    assert_eq!(value("{ \"<<\": { k: v } }"), r#"{"\u003c\u003c":{"k":"v"}}"#, "in quotes it is a key");
}

#[test]
fn what_has_no_json_is_refused_before_any_call() {
    for (args, words) in [
        ("foo", "is not a mapping"),
        ("[]", "is not a mapping"),
        ("\"\"", "is not a mapping"),
        ("{ a: .inf }", "holds a number"),
        ("{ a: [-.INF] }", "holds a number"),
        ("{ a: .nan }", "holds a number"),
        ("{ a: { true: b } }", "keys that are no text"),
        ("{ a: { 1: b } }", "keys that are no text"),
        ("{ a: [{ ~: b }] }", "keys that are no text"),
        ("{ a: !!null x }", "not what its tag says"),
        ("{ a: !!int x }", "not what its tag says"),
        ("{ a: !!binary \"*\" }", "not what its tag says"),
        ("{ a: 2020-01-02T03:04:05+24:00 }", "holds a time"),
        ("{ <<: x }", "merges something"),
        ("{ <<: ~ }", "merges something"),
        ("{ !!bool yes: x }", "has a key that is no text"),
    ] {
        let text = format!("- objectName: o\n  secretPath: x\n  secretArgs: {args}\n");
        let problem = only(objects(&text), Reason::Invalid, "objects");
        assert!(
            problem.what.starts_with("`secretArgs` ") && problem.what.contains(words),
            "{args}: {problem}"
        );
        assert_eq!(problem.place.object.as_deref(), Some("object `o`"));
    }
}

proptest! {
    #[test]
    fn any_text_and_number_come_back_from_the_json(text in any::<String>(), whole in any::<i64>(), number in any::<f64>()) {
        let quoted = serde_json::to_string(&text).unwrap();
        // Not everything that JSON allows in a string may stand in YAML.
        let plain = !quoted.contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{feff}' | '\u{85}' | '\u{2028}' | '\u{2029}'));
        let text_of = if plain { quoted } else { "\"x\"".to_owned() };
        let finite = if number.is_finite() { number } else { 0.5 };
        let json = body(&format!("{{ t: {text_of}, w: {whole}, n: {finite:?} }}")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(json["t"].as_str().unwrap(), if plain { text.as_str() } else { "x" });
        prop_assert_eq!(json["w"].as_i64(), Some(whole));
        prop_assert!(json["n"].as_f64().is_some_and(|read| (read - finite).abs() <= finite.abs() * 1e-15));
    }
}
