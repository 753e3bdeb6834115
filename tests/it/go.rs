//! Go's rules of encoding, as tables.

use latchkey::model::go::{Json, float, parse_bool};

fn encoded(text: &str) -> String {
    let mut json = Json::new(0);
    json.string(text);
    String::from_utf8(json.finish().expose().to_vec()).unwrap()
}

#[test]
fn a_string_is_escaped_as_go_does() {
    for (text, wanted) in [
        ("", r#""""#),
        ("plain é 😀 \u{7f}", "\"plain é 😀 \u{7f}\""),
        ("\"\\/", r#""\"\\/""#),
        ("\u{8}\u{c}\n\r\t", r#""\b\f\n\r\t""#),
        ("\0\u{1}\u{b}\u{1f}", r#""\u0000\u0001\u000b\u001f""#),
        ("<a&b>", r#""\u003ca\u0026b\u003e""#),
        ("\u{2027}\u{2028}\u{2029}\u{202a}", "\"\u{2027}\\u2028\\u2029\u{202a}\""),
    ] {
        assert_eq!(encoded(text), wanted);
    }
}

#[test]
fn a_buffer_that_grows_keeps_what_it_has() {
    let mut json = Json::new(1);
    for _ in 0..100 {
        json.raw("[").string("a<b").raw("]");
    }
    assert_eq!(json.finish().expose(), "[\"a\\u003cb\"]".repeat(100).as_bytes());
}

#[test]
fn a_number_is_written_as_go_does() {
    for (value, wanted) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (1.5, "1.5"),
        (1000.0, "1000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.25e21, "-1.25e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.5e-9, "-1.5e-9"),
        (1.234_567_890_123_456_8e29, "1.2345678901234568e+29"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
    ] {
        assert_eq!(float(value).unwrap(), wanted);
    }
    for not in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(float(not), None);
    }
}

#[test]
fn a_truth_has_six_spellings_and_no_other() {
    for text in ["1", "t", "T", "TRUE", "true", "True"] {
        assert_eq!(parse_bool(text), Some(true), "{text}");
    }
    for text in ["0", "f", "F", "FALSE", "false", "False"] {
        assert_eq!(parse_bool(text), Some(false), "{text}");
    }
    for text in ["", " true", "tRUE", "yes", "on", "00", "2"] {
        assert_eq!(parse_bool(text), None, "{text}");
    }
}
