//! The YAML tree: what it keeps, what it refuses and where, and that nothing makes it panic or work for long.

use std::time::Instant;

use latchkey::yaml::{self, Error, Limits, Node, Style, Value};
use proptest::prelude::*;

fn parse(text: &str) -> Result<Node, Error> {
    yaml::parse(text, Limits::PARAMETER)
}

fn refused(text: &str) -> Error {
    parse(text).expect_err(text)
}

fn scalar(node: &Node) -> &yaml::Scalar {
    match &node.value {
        Value::Scalar(scalar) => scalar,
        Value::Sequence(_) | Value::Mapping(_) => panic!("{} is no scalar", node.kind()),
    }
}

/// `depth` lists in one another.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn a_node_knows_its_line_column_style_and_tag() {
    let root = parse("# head\nplain: a  b\nsingle: 'it''s'\ndouble: \"x\\ty\"\ntagged: !!str 7\nown: !x 8\n")
        .unwrap();
    assert_eq!(root.at, (2, 1));
    let seen: Vec<_> = root
        .mapping()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            let scalar = scalar(value);
            (key.text().unwrap(), value.at, &*scalar.text, scalar.style, scalar.tag.as_deref())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("plain", (2, 8), "a  b", Style::Plain, None),
            ("single", (3, 9), "it's", Style::Single, None),
            ("double", (4, 9), "x\ty", Style::Double, None),
            ("tagged", (5, 9), "7", Style::Plain, Some("tag:yaml.org,2002:str")),
            ("own", (6, 6), "8", Style::Plain, Some("!x")),
        ]
    );
}

#[test]
fn columns_count_characters_and_lines_end_at_cr_lf_and_both() {
    let root = parse("ä: ö\r\nb: c\rd: [é, x]\n").unwrap();
    assert_eq!(root.get("ä").unwrap().at, (1, 4));
    assert_eq!(root.get("b").unwrap().at, (2, 4));
    assert_eq!(root.get("d").unwrap().sequence().unwrap()[1].at, (3, 8));
}

#[test]
fn block_scalars_are_unfolded_and_nothing_else() {
    let root = parse("literal: |\n  0440\n  \tno\nfolded: >-\n  a\n  b\n").unwrap();
    assert_eq!(root.get("literal").unwrap().text(), Some("0440\n\tno\n"));
    assert_eq!(scalar(root.get("literal").unwrap()).style, Style::Literal);
    assert_eq!(root.get("folded").unwrap().text(), Some("a b"));
    assert_eq!(scalar(root.get("folded").unwrap()).style, Style::Folded);
}

#[test]
fn y_09_booleans_and_numbers_of_yaml_1_1_stay_text() {
    for word in [
        "no",
        "on",
        "yes",
        "off",
        "y",
        "1e3",
        "0123",
        "0o17",
        "1_000",
        "12:30:45",
        "2024-01-01",
        ".inf",
        "<<",
    ] {
        let root = parse(&format!("{word}: {word}")).unwrap();
        let value = root.get(word).unwrap();
        assert_eq!((value.text(), value.bool(), value.is_null()), (Some(word), None, false), "{word}");
    }
}

#[test]
fn only_plain_words_are_booleans_and_nulls() {
    for (text, expected) in [
        ("true", Some(true)),
        ("True", Some(true)),
        ("TRUE", Some(true)),
        ("!!bool true", Some(true)),
        ("false", Some(false)),
        ("False", Some(false)),
        ("FALSE", Some(false)),
        ("tRUE", None),
        ("'true'", None),
        ("!!str true", None),
        ("[true]", None),
    ] {
        assert_eq!(parse(text).unwrap().bool(), expected, "{text}");
    }
    for text in ["", "~", "null", "Null", "NULL", "!!null null", "---", "# only a comment\n", "---\n...\n"] {
        let node = parse(text).unwrap();
        assert!(node.is_null() && node.text().is_none(), "{text}");
        assert_eq!(node.kind(), "nothing");
    }
    for text in ["''", "'null'", "nUll", "!!str", "|\n  ~", "[]", "{}"] {
        assert!(!parse(text).unwrap().is_null(), "{text}");
    }
}

#[test]
fn a_text_without_a_document_is_a_null_at_its_start() {
    for text in ["", "\n\n", "# a\n# b\n"] {
        let node = parse(text).unwrap();
        assert!(node.is_null());
        assert_eq!(node.at, (1, 1), "{text:?}");
        assert!(yaml::documents(text, Limits::PARAMETER).unwrap().is_empty());
    }
}

#[test]
fn y_01_what_is_not_yaml_is_refused_with_its_place() {
    for (text, at) in [
        ("[", (1, 2)),
        ("a: [b\nc: d", (2, 2)),
        ("a: 'b", (1, 4)),
        ("a: b: c", (1, 5)),
        ("a: }", (1, 4)),
        ("a:\n  b\n c: d", (3, 3)),
        ("a: @b", (1, 4)),
        ("a: *nowhere", (1, 4)),
    ] {
        let error = refused(text);
        assert_eq!(error.at, at, "{text:?}: {error}");
        assert_eq!(error.to_string(), format!("line {}, column {}: {}", at.0, at.1, error.what));
    }
}

#[test]
fn y_01_a_tab_as_indentation_is_refused_with_its_place() {
    for (text, at) in [
        ("a:\n\tb: c\n", (2, 1)),
        ("a:\n  b: 1\n\tc: 2\n", (2, 6)),
        ("a:\n  b: '1'\n\tc: 2\n", (3, 1)),
        ("a:\n  \tb: c\n", (2, 3)),
        ("a:\n\t- b\n", (2, 1)),
        ("a:\n\t\"b\"\n", (2, 1)),
        ("a:\n\t[b]\n", (2, 1)),
        ("a: &x b\nc:\n\t*x\n", (3, 1)),
        ("-\ta: b\n", (1, 2)),
        ("\ta: b\n", (1, 1)),
        // Deep enough in for the parser to let them pass.
        ("a:\n \t\"b\"\n", (2, 2)),
        ("-\tb\n", (1, 2)),
        ("a: &x b\nc:\n \t*x\n", (3, 2)),
        ("-\t&x b\n", (1, 2)),
        ("? a\n:\t\"b\": c\n", (2, 2)),
        ("a: b\n\tc", (1, 4)),
    ] {
        let error = refused(text);
        assert_eq!(error.at, at, "{text:?}: {error}");
        assert!(error.what.contains("tab"), "{error}");
    }
}

#[test]
fn a_tab_that_indents_nothing_is_taken() {
    for text in [
        "a: \tb",
        "a:\t\"b\"",
        "a: b\t# c",
        "[\n\tb,\n\tc\n\t]",
        "{\n\t\"a\": {\n\t\t\"b\": \"c\"\n\t}\n}",
        "&x !!map {\n\tb: c }",
        "!!map # why\n  {\n\tb: c }",
        "a: |\n  b\n  \tc",
        "a: 1\n\t\nb: 2",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

#[test]
fn an_unknown_version_of_yaml_is_refused() {
    for version in ["1.1", "1.2"] {
        assert_eq!(parse(&format!("# c\n%YAML {version}\n---\na\n")).unwrap().text(), Some("a"));
    }
    for (text, line) in [
        ("%YAML 2.0\n---\na\n", 1),
        ("# c\n\n%YAML 1.3 # c\n---\na\n", 3),
        ("\u{feff}%YAML 3.0\n---\na\n", 1),
    ] {
        let error = refused(text);
        assert_eq!((error.at, error.what.contains("version")), ((line, 1), true), "{text:?}: {error}");
    }
    let error = yaml::documents("---\na\n...\n%YAML 2.0\n---\nb\n", Limits::PARAMETER).unwrap_err();
    assert_eq!(error.at, (4, 1));
    // What looks like a directive inside a document is text, to the documents behind it too.
    assert_eq!(yaml::documents("--- |\n%YAML 9.9\n--- b\n", Limits::PARAMETER).unwrap().len(), 2);
    assert_eq!(parse("--- |\n  %YAML 9.9\n").unwrap().text(), Some("%YAML 9.9\n"));
    assert_eq!(parse("--- |\n%YAML 9.9\n").unwrap().text(), Some("%YAML 9.9\n"));
}

#[test]
fn a_control_character_is_refused_rather_than_taken_for_the_end() {
    for (text, at) in
        [("a: b\0\nc: [", (1, 5)), ("a:\n  ä\u{1b}[31m", (2, 4)), ("\u{7f}", (1, 1)), ("a\u{ffff}", (1, 2))]
    {
        let error = refused(text);
        assert_eq!((error.at, error.what.contains("control")), (at, true), "{text:?}: {error}");
    }
    assert_eq!(parse("\"a\\0b\"").unwrap().text(), Some("a\0b"));
    assert_eq!(parse("a\u{85}b").unwrap().text(), Some("a\u{85}b"));
}

#[test]
fn a_duplicate_key_is_refused_with_both_places() {
    for (text, at, first) in [
        ("a: 1\nb: 2\na: 3\n", (3, 1), "line 1, column 1"),
        ("x: { a: 1, \"a\": 2 }", (1, 12), "line 1, column 6"),
        ("a: 1\n? a\n: 2\n", (2, 3), "line 1, column 1"),
        ("<<: 1\n<<: 2\n", (2, 1), "line 1, column 1"),
        ("&k a: 1\n*k : 2\n", (2, 1), "line 1, column 1"),
    ] {
        let error = refused(text);
        assert_eq!((error.at, error.what.contains(first)), (at, true), "{text:?}: {error}");
    }
    parse("a: { b: 1 }\nb: { a: 1, b: 2 }\n").unwrap();
}

#[test]
fn a_key_that_is_no_scalar_is_refused() {
    for (text, at) in [
        ("? [a]\n: b\n", (1, 3)),
        ("{ {a: b}: c }", (1, 3)),
        ("[ [a]: b ]", (1, 3)),
        ("x: &x [a]\n*x : b\n", (2, 1)),
    ] {
        let error = refused(text);
        assert_eq!((error.at, error.what.contains("key")), (at, true), "{text:?}: {error}");
    }
}

#[test]
fn y_07_a_second_document_is_refused_where_one_is_wanted() {
    for (text, at) in [("a: 1\n---\nb: 2\n", (2, 1)), ("---\n---\n", (2, 1)), ("a\n...\n---\nb\n", (3, 1))] {
        let error = refused(text);
        assert_eq!((error.at, error.what.contains("second document")), (at, true), "{text:?}: {error}");
    }
    assert_eq!(parse("---\na\n...\n").unwrap().text(), Some("a"));
}

#[test]
fn several_documents_come_in_order_without_the_empty_ones() {
    let text = "---\n# nothing\n---\na: 1\n---\nnull\n---\nb: 2\n...\n---\n- c\n";
    let documents = yaml::documents(text, Limits::PARAMETER).unwrap();
    let starts: Vec<_> = documents.iter().map(|node| (node.kind(), node.at)).collect();
    assert_eq!(starts, [("a mapping", (4, 1)), ("a mapping", (8, 1)), ("a list", (11, 1))]);
}

#[test]
fn an_error_ends_the_reading_although_the_parser_repeats_it() {
    assert_eq!(yaml::documents("a: [\n---\nb: ]\n", Limits::PARAMETER).unwrap_err().at.0, 2);
}

#[test]
fn an_alias_shares_its_anchor_and_stands_where_it_is_written() {
    let root = parse("a: &x\n  b: c\nd: *x\ne: [*x]\n").unwrap();
    let shared = root.get("d").unwrap();
    assert_eq!(shared.at, (3, 4));
    assert_eq!(shared.get("b").unwrap().at, (2, 6));
    let (Value::Mapping(original), Value::Mapping(alias)) = (&root.get("a").unwrap().value, &shared.value)
    else {
        panic!("both are mappings");
    };
    assert!(std::ptr::eq(original.as_ptr(), alias.as_ptr()));
    // Redefined, an anchor means the newest.
    let root = parse("a: &x 1\nb: &x 2\nc: *x\n").unwrap();
    assert_eq!(root.get("c").unwrap().text(), Some("2"));
}

#[test]
fn a_merge_key_is_a_key_like_any_other() {
    let root = parse("a: &x { b: c }\nd: { <<: *x }\n").unwrap();
    let merged = root.get("d").unwrap();
    assert!(merged.get("b").is_none());
    assert_eq!(merged.get("<<").unwrap().get("b").unwrap().text(), Some("c"));
}

#[test]
fn an_alias_to_what_contains_it_or_to_another_document_is_refused() {
    for (text, at) in [("a: &x [*x]", (1, 8)), ("&x a: *x", (1, 7)), ("&r\na: { b: *r }\n", (2, 9))] {
        let outcome = parse(text);
        // An anchor on a key is complete by the time its value comes.
        if text == "&x a: *x" {
            assert_eq!(outcome.unwrap().get("a").unwrap().text(), Some("a"));
            continue;
        }
        let error = outcome.unwrap_err();
        assert_eq!((error.at, error.what.contains("part of")), (at, true), "{text:?}: {error}");
    }
    let error = yaml::documents("--- &x a\n--- *x\n", Limits::PARAMETER).unwrap_err();
    assert_eq!((error.at, error.what.contains("no anchor")), ((2, 5), true), "{error}");
}

#[test]
fn y_05_a_billion_laughs_is_refused_at_once() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
    }
    let start = Instant::now();
    let error = refused(&text);
    assert!(start.elapsed().as_millis() < 50, "{:?}", start.elapsed());
    // 110 nodes a level at a0, ten times that at each further one: the fourth level is too much.
    assert_eq!((error.at.0, error.what.contains("10000 nodes")), (4, true), "{error}");
}

#[test]
fn y_05_nesting_is_bounded_in_every_style_and_through_aliases() {
    let limits = Limits { depth: 8, ..Limits::PARAMETER };
    let block = |depth: usize| format!("{}x", "- ".repeat(depth));
    let maps = |depth: usize| format!("{}x{}", "{a: ".repeat(depth), "}".repeat(depth));
    let aliased = |depth: usize| {
        let mut text = String::from("- &a1 [x]\n");
        for level in 2..depth {
            text.push_str(&format!("- &a{level} [*a{}]\n", level - 1));
        }
        text
    };
    for (name, text) in [
        ("flow", &nested as &dyn Fn(usize) -> String),
        ("block", &block),
        ("maps", &maps),
        ("aliases", &aliased),
    ] {
        yaml::parse(&text(8), limits).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = yaml::parse(&text(9), limits).expect_err(name);
        assert_eq!(error.what, "nested deeper than 8 levels", "{name}");
    }
}

#[test]
fn y_05_no_text_within_the_byte_limit_takes_long() {
    let full = |unit: &str| unit.repeat(Limits::PARAMETER.bytes / unit.len());
    let deep = |unit: &str| format!("{}{}", "[".repeat(60), full(unit).split_at(200_000).0);
    let texts = [
        full("["),
        full("{"),
        full("{a: "),
        full("- "),
        full("? "),
        full("a: "),
        full("a\n"),
        full(" \n"),
        full("#\n"),
        full("[]\n"),
        full("'"),
        full("\""),
        full("&a "),
        full("!a "),
        full("*a "),
        full(","),
        full("- - -\n"),
        full("%X\n"),
        full("---\n"),
        full("a b "),
        deep(","),
        deep("a,"),
        deep("[],"),
        deep("'a' "),
        format!("? {}", full("a:\t").split_at(200_000).0),
    ];
    for text in texts {
        let start = Instant::now();
        let _ = parse(&text);
        let took = start.elapsed();
        // Quadratic work would take minutes; a busy machine takes a few seconds.
        assert!(took.as_secs() < 20, "{:?}… took {took:?}", &text[..64]);
    }
}

#[test]
fn size_and_nodes_are_bounded_to_the_byte_and_the_node() {
    let limits = Limits { bytes: 12, nodes: 5, depth: 4 };
    assert!(yaml::parse("[a, b, c, d]", limits).is_ok());
    let error = yaml::parse("[a, b, c, d] ", limits).unwrap_err();
    assert_eq!((error.at, error.what.as_str()), ((1, 1), "has 13 bytes, 12 at most"));
    let error = yaml::parse("[a,b,c,d,e]", limits).unwrap_err();
    assert_eq!((error.at, error.what.contains("5 nodes")), ((1, 10), true), "{error}");
    // Keys count, and all documents count together.
    assert!(yaml::parse("{a: b, c: d}", limits).is_ok());
    assert!(yaml::parse("{a: , c: d}", Limits { nodes: 4, ..limits }).is_err());
    assert!(yaml::documents("a\n---\nb\n", Limits { nodes: 1, ..limits }).is_err());
}

#[test]
fn no_error_quotes_a_scalar() {
    for text in [
        "hunter2: [",
        "a: @hunter2",
        "a: \"hunter2\\q\"",
        "hunter2: 1\nhunter2: 2",
        "a: hunter2: x",
        "a: *hunter2",
        "a: !hunter2!x y",
        "a: |hunter2\n",
        "%YAML hunter2\n---\n",
        "a: 'hunter2",
        "a: `hunter2",
    ] {
        let error = refused(text);
        assert!(!error.what.contains("hunter2") && !error.what.contains('`'), "{text:?}: {error}");
    }
}

#[test]
fn kinds_and_lookups() {
    let root = parse("a: [1, 2]\nb: { c: d }\ne:\nf: g\n").unwrap();
    let kinds: Vec<_> = root.mapping().unwrap().iter().map(|(_, value)| value.kind()).collect();
    assert_eq!(kinds, ["a list", "a mapping", "nothing", "text"]);
    assert!(root.get("z").is_none() && root.get("a").unwrap().get("1").is_none());
    assert!(root.sequence().is_none() && root.get("a").unwrap().mapping().is_none());
    assert_eq!(root.get("a").unwrap().sequence().unwrap().len(), 2);
}

/// Text of the characters that mean something in YAML, so that random texts get far.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b: ",
        "c",
        ": ",
        ":",
        "- ",
        "-",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ",",
        "\n",
        "\n  ",
        "\n    ",
        "\r\n",
        "\r",
        " ",
        "\t",
        "'",
        "\"",
        "\\",
        "|",
        ">",
        "|-\n",
        ">2\n",
        "#",
        " # c",
        "&x ",
        "*x",
        "!",
        "!!str ",
        "!<t> ",
        "%",
        "%YAML 1.2",
        "%TAG ! x",
        "---",
        "\n---\n",
        "...",
        "\n...\n",
        "@",
        "`",
        "<<",
        "~",
        "é",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "\0",
        "0",
        "\\x41",
        "\\u00e9",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Whether the position is a place in the text, or just behind the last character of a line.
fn inside(text: &str, at: (u32, u32)) -> bool {
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = unified.split('\n').nth(at.0 as usize - 1);
    // A CRLF is two characters wide to the parser.
    line.is_some_and(|line| at.1 >= 1 && at.1 as usize <= line.chars().count() + 2)
}

fn shape(node: &Node) -> String {
    format!("{node:?}")
}

fn each(node: &Node, visit: &mut dyn FnMut(&Node)) {
    visit(node);
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(nodes) => nodes.iter().for_each(|node| each(node, visit)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(key, value)| {
            each(key, visit);
            each(value, visit);
        }),
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let limits = Limits { bytes: 4096, nodes: 64, depth: 6 };
    let (first, second) = (yaml::documents(text, limits), yaml::documents(text, limits));
    match (&first, &second) {
        (Ok(a), Ok(b)) => {
            let mut nodes = 0;
            for (a, b) in a.iter().zip(b) {
                prop_assert_eq!(shape(a), shape(b));
                each(a, &mut |node| {
                    nodes += 1;
                    assert!(inside(text, node.at), "{:?} is outside of {text:?}", node.at);
                });
            }
            prop_assert!(nodes <= limits.nodes);
        }
        (Err(a), Err(b)) => {
            prop_assert_eq!(a, b);
            prop_assert!(inside(text, a.at), "{} is outside of {:?}", a, text);
        }
        _ => prop_assert!(false, "{:?} parses now and then", text),
    }
    if let Ok(one) = yaml::parse(text, limits) {
        prop_assert!(first.unwrap().len() <= 1 || one.is_null());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_text_of_yaml_pieces_parses_or_fails_inside_itself(text in yamlish()) {
        check(&text)?;
    }

    #[test]
    fn any_text_parses_or_fails_inside_itself(text in "(?s).{0,60}") {
        check(&text)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn quoted_text_survives(text in "[ -~é\u{1f511}]{0,40}") {
        let single = format!("k: '{}'", text.replace('\'', "''"));
        let root = parse(&single).unwrap();
        prop_assert_eq!(root.get("k").unwrap().text(), Some(text.as_str()));
    }

    #[test]
    fn escaped_text_survives(text in any::<String>()) {
        let mut quoted = String::from("k: \"");
        for c in text.chars() {
            quoted.push_str(&format!("\\U{:08X}", u32::from(c)));
        }
        quoted.push('"');
        let root = parse(&quoted).unwrap();
        prop_assert_eq!(root.get("k").unwrap().text(), Some(text.as_str()));
    }

    #[test]
    fn plain_text_survives(text in "[a-zA-Z0-9][a-zA-Z0-9_./+=-]{0,30}") {
        let root = parse(&format!("- k: {text}\n- {text}\n")).unwrap();
        let entries = root.sequence().unwrap();
        prop_assert_eq!(&*scalar(entries[0].get("k").unwrap()).text, text.as_str());
        prop_assert_eq!(&*scalar(&entries[1]).text, text.as_str());
    }

    #[test]
    fn a_duplicate_is_always_found(keys in prop::collection::vec("[a-e]{1,2}", 1..8), flow in any::<bool>()) {
        let text = if flow {
            format!("{{{}}}", keys.iter().map(|key| format!("{key}: 1")).collect::<Vec<_>>().join(", "))
        } else {
            keys.iter().map(|key| format!("{key}: 1\n")).collect()
        };
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        prop_assert_eq!(parse(&text).is_ok(), distinct.len() == keys.len());
    }
}
