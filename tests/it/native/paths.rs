//! Paths and modes as a class says them.

use super::{class, expect, files, only, refused, secrets};

#[test]
fn p_01_a_path_that_climbs_is_refused() {
    for path in ["../x", "a/../../x", "..", "a/..", "a/../b"] {
        refused(files(&format!("'{path}': db")), "files", (1, 1), &["may not contain `..`"]);
    }
}

#[test]
fn p_03_a_reserved_prefix_is_refused() {
    for path in ["..data", "..2024_01_01", "..x", "..x/y"] {
        refused(files(&format!("{path}: db")), "files", (1, 1), &["reserved for the driver"]);
    }
    expect(&files("a/..x: db").unwrap(), &[("a/..x", "db", "0644")]);
}

#[test]
fn p_05_an_empty_path_is_refused() {
    for path in ["''", "' '", "\"\\t\"", "~", "\"\\u00a0\""] {
        refused(files(&format!("{path}: db")), "files", (1, 1), &["the path is empty"]);
    }
}

#[test]
fn p_07_control_characters_are_refused_and_others_escaped_in_texts() {
    for escape in ["\\n", "\\t", "\\e", "\\0", "\\x7f", "\\N"] {
        let outcome = files(&format!("\"a{escape}b\": db"));
        refused(outcome, "files", (1, 1), &["has a control character"]);
    }
    // Legal names on Linux; only an error's text escapes them.
    for hidden in ['\u{202e}', '\u{200b}'] {
        let plan = files(&format!("\"a{hidden}b\": db")).unwrap();
        assert_eq!(plan.files()[0].path.root().as_str(), format!("a{hidden}b"));
        let text = files(&format!("\"a{hidden}b\": nodb")).unwrap_err().text();
        assert!(!text.contains(hidden) && text.contains("\\u{20"), "{text}");
    }
    let text = secrets("\"a\\nb\": 1\n").unwrap_err().text();
    assert!(text.contains("secret `a\\nb`"), "{text}");
    let text = class(&[("secrets", "db: { store: local, path: x }"), ("a\nb", "")]).unwrap_err().text();
    assert!(text.contains("parameter a\\nb"), "{text}");
    // A bad name is never held up as what was meant.
    let text = class(&[("secrets", "\"a\\nbcdef\": { store: local, path: x }"), ("files", "x: abcdef")]);
    assert!(!text.unwrap_err().text().contains("did you mean"));
}

#[test]
fn p_09_a_backslash_is_a_character_like_any_other() {
    expect(&files("a\\..\\b: db").unwrap(), &[("a\\..\\b", "db", "0644")]);
}

#[test]
fn p_11_an_overlong_dot_cannot_be_said() {
    // Bytes that are no UTF-8 cannot get into a text; as escapes they are letters.
    expect(&files("\"\\xc0\\xae/x\": db").unwrap(), &[("\u{c0}\u{ae}/x", "db", "0644")]);
    expect(&files("\u{ff0e}\u{ff0e}/x: db").unwrap(), &[("\u{ff0e}\u{ff0e}/x", "db", "0644")]);
}

#[test]
fn p_13_a_path_is_one_file_or_one_folder() {
    refused(
        files("a: db\na/b: db"),
        "files",
        (2, 1),
        &["`a` is both a file and the folder of `a/b`", "first at line 1, column 1"],
    );
    refused(files("a/b/c: db\na: db"), "files", (1, 1), &["`a` is both a file and the folder of `a/b/c`"]);
    refused(files("a: db\n'a': db"), "files", (2, 1), &["a second time"]);
}

#[test]
fn p_15_two_spellings_of_one_letter_are_two_files() {
    let plan = files("\u{e9}: db\ne\u{301}: db").unwrap();
    expect(&plan, &[("\u{e9}", "db", "0644"), ("e\u{301}", "db", "0644")]);
}

#[test]
fn p_17_more_objects_than_the_limit_are_refused_with_their_count() {
    let many = |count: usize| (0..count).map(|n| format!("f{n}: db\n")).collect::<String>();
    assert_eq!(files(&many(500)).unwrap().files().len(), 500);
    for count in [501, 4_000] {
        let problem = only(files(&many(count)));
        assert!(problem.what.contains(&format!("{count} objects in one mount, 500 at most")), "{problem}");
        assert_eq!(problem.place.parameter.as_deref(), Some("files"));
    }
    let many: String = (0..501).map(|n| format!("s{n}: {{ store: local, path: p }}\n")).collect();
    assert!(only(secrets(&many)).what.contains("501 objects"));
    assert!(
        only(files(&(0..10_000).map(|n| format!("f{n}: db\n")).collect::<String>())).what.contains("10000")
    );
}

#[test]
fn p_21_modes_are_octal_quoted_or_not() {
    for (text, mode) in [
        ("0000", "0000"),
        ("0400", "0400"),
        ("0777", "0777"),
        ("\"0440\"", "0440"),
        ("'440'", "0440"),
        ("0440", "0440"),
        ("440", "0440"),
        ("0o640", "0640"),
        ("!!int 0400", "0400"),
        ("07777", "7777"),
    ] {
        expect(&files(&format!("a: {{ from: db, mode: {text} }}")).unwrap(), &[("a", "db", mode)]);
    }
}

#[test]
fn p_23_what_is_no_mode_is_refused() {
    for text in
        ["-1", "2147483648", "0.5", "0888", "010000", "rw-r-----", "0x1ff", "''", "~", "[0440]", "4_0"]
    {
        refused(
            files(&format!("a: {{ from: db, mode: {text} }}")),
            "files",
            (1, 22),
            &["`mode` is not one in octal digits"],
        );
    }
}

#[test]
fn the_drivers_other_path_rules_hold() {
    let component = "x".repeat(256);
    let long = vec!["x".repeat(250); 17].join("/");
    for (path, words) in [
        ("/a", "is absolute"),
        ("./a", "component `.`"),
        ("a/.", "component `.`"),
        (".", "component `.`"),
        ("a//b", "empty component"),
        ("a/", "empty component"),
        (component.as_str(), "longer than 255 bytes"),
        (long.as_str(), "longer than 4096 bytes"),
    ] {
        // An explicit key, since an implicit one ends at 1024 characters.
        refused(files(&format!("? {path}\n: db")), "files", (1, 3), &[words]);
    }
    for path in [".env", "a b", "ä/ö", "...x/y", &"x".repeat(255)] {
        match files(&format!("? {path}\n: db")) {
            Ok(plan) => assert_eq!(plan.files()[0].path.root().as_str(), path),
            // Three dots start with two.
            Err(problems) => assert!(path.starts_with("..") && problems.text().contains("reserved")),
        }
    }
}

#[test]
fn a_name_has_63_bytes_at_most() {
    let secret = |bytes: usize| format!("{}: {{ store: local, path: x }}", "a".repeat(bytes));
    assert!(class(&[("secrets", &secret(63))]).is_ok());
    refused(secrets(&secret(64)), "secrets", (1, 1), &["not one that files can refer to"]);
}
