//! Texts that Go's `yaml.v3` 3.0.1 takes and YAML 1.2's grammar does not, or the other way round. What it makes of each
//! was asked of the library itself.

use latchkey::yaml::{self, Limits, Node, Value};

fn first(text: &str) -> Result<Node, yaml::Error> {
    yaml::first(text, Limits::PARAMETER)
}

/// Scalars as their text, lists and mappings in brackets.
fn shape(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => format!("{:?}", scalar.text),
        Value::Sequence(entries) => format!("[{}]", entries.iter().map(shape).collect::<Vec<_>>().join(" ")),
        Value::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}:{}", shape(key), shape(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}

#[test]
fn what_go_takes_beside_the_grammar_is_taken() {
    for (text, wanted) in [
        // A tab separates a key from its value.
        ("- a:\tb\n  c:\t\td\t\n", r#"[{"a":"b" "c":"d"}]"#),
        // Inside quotes a line is indented by nothing, in spaces or in tabs.
        ("- a: 'b\nc'\n  d: e\n", r#"[{"a":"b c" "d":"e"}]"#),
        ("- a: 'b\n\n c'\n", r#"[{"a":"b\nc"}]"#),
        ("- a: \"b\n\tc\"\n", r#"[{"a":"b c"}]"#),
        ("- a: \"b \\\n\\ c\"\n", r#"[{"a":"b  c"}]"#),
        ("- a: \"b\u{85}c\"\n", r#"[{"a":"b c"}]"#),
        ("- a: 'it''s\nb'\n  c: \"\\\"\nd\"\n", r#"[{"a":"it's b" "c":"\" d"}]"#),
        // Inside brackets too.
        ("- {a: b,\nc: d}\n", r#"[{"a":"b" "c":"d"}]"#),
        ("- a: [b,\nc,\n'd'\n,\"e\nf\"\n]\n  g: h\n", r#"[{"a":["b" "c" "d" "e f"] "g":"h"}]"#),
        ("-                    a: {b: c,\nd: e}\n", r#"[{"a":{"b":"c" "d":"e"}}]"#),
        // A comment needs no white space behind closing quotes.
        ("- a: \"b\"#c\n  d: 'e'#f\n", r#"[{"a":"b" "d":"e"}]"#),
        // A block that the text ends in gets no line break.
        ("- a: |\n    b", r#"[{"a":"b"}]"#),
        ("- a: >+\n    b", r#"[{"a":"b"}]"#),
        ("- a: |\n    b\n", r#"[{"a":"b\n"}]"#),
        ("- a: |\n    b\n  c: d", r#"[{"a":"b\n" "c":"d"}]"#),
    ] {
        let node = first(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(shape(&node), wanted, "{text:?}");
    }
}

#[test]
fn what_go_refuses_beyond_the_grammar_is_refused() {
    for text in [
        "- a: \"\\/\"\n",
        "- a: \"x\\\\\\/\"\n",
        // A marker of documents ends a text in quotes.
        "- a: 'b\n---\nc'\n",
        "- a: \"b\nc\n...\nd\"\n",
        // What begins the next document is looked at.
        "- a\n---\n@\n",
        "- a\n--- @\n",
        "- a\n---\n\"b\n",
        "- a\n---\n*\n",
        "- a\n...\n@\n",
        "- a\n---\n`\n",
        "- a\n...\n%FOO\n---\nb\n",
    ] {
        first(text).map(|node| shape(&node)).expect_err(text);
    }
    for (text, wanted) in [
        ("- \"\\\\/\"\n", r#"["\\/"]"#),
        ("- '\\/'\n", r#"["\\/"]"#),
        ("- a\n---\n- b: [\n", r#"["a"]"#),
        ("- a\n---\n*b\n", r#"["a"]"#),
        ("- a\n---\n- - @\n", r#"["a"]"#),
        ("- a\n---\n", r#"["a"]"#),
    ] {
        assert_eq!(shape(&first(text).expect(text)), wanted, "{text:?}");
    }
}

#[test]
fn places_are_those_of_the_text_as_it_was_written() {
    let node = first("- a: {b: 'c\nd', e:\tf,\ng: h}\n  i: j\n").unwrap();
    let pairs = node.sequence().unwrap()[0].mapping().unwrap();
    let inner = pairs[0].1.mapping().unwrap();
    let places: Vec<_> = inner.iter().flat_map(|(key, value)| [key.at, value.at]).collect();
    assert_eq!(places, [(1, 7), (1, 10), (2, 5), (2, 8), (3, 1), (3, 4)]);
    assert_eq!(pairs[1].1.at, (4, 6));
    let error = first("- a: {b: c,\nd: e, f: @}\n").unwrap_err();
    assert_eq!(error.at, (2, 10), "{error}");
}

/// Each such line costs the text another reading, so their number is bounded by its size.
#[test]
fn y_05_a_long_text_of_such_lines_is_refused_rather_than_read_for_ever() {
    let lines = |count: usize| format!("- a: [\n{}]\n", "b,\n".repeat(count));
    assert!(first(&lines(100)).is_ok());
    assert!(first(&lines(3_000)).is_err());
}
