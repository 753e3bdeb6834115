use std::time::Duration;

use latchkey::audit::{Caller, Event, Line, MountId, Outcome, Source};
use latchkey::clock::Wall;
use latchkey::error::Reason;
use proptest::prelude::*;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/AUDIT.md");

fn full<'a>(object: &'a str) -> Line<'a> {
    Line {
        mount: Some(MountId::new([0, 0xc0, 0xff, 0xee, 0, 0, 0, 1])),
        provider: Some("vault"),
        store: Some("prod"),
        endpoint: Some("https://vault.corp:8200"),
        role: Some("web"),
        namespace: Some("shop"),
        service_account: Some("web"),
        pod: Some("web-0"),
        pod_uid: Some("uid-1"),
        object: Some(object),
        version: Some("3"),
        source: Some(Source::Backend),
        reason: Some(Reason::NotFound),
        latency: Some(Duration::from_nanos(1_234_567)),
        audience: Some("vault"),
        jti: Some("id-1"),
        polls: Some(7),
        ..Line::new(Wall::from_seconds(0), Event::Deliver, Caller::Driver, Outcome::Changed)
    }
}

fn text(line: &Line<'_>) -> String {
    let mut out = Vec::new();
    line.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Keys of a flat object in the order written.
fn keys(text: &str) -> Vec<String> {
    let parsed: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
    let mut keys: Vec<_> = parsed.keys().cloned().collect();
    keys.sort_by_key(|key| text.find(&format!("\"{key}\":")).unwrap());
    keys
}

/// First cells of the first table under a heading.
fn table(heading: &str) -> Vec<String> {
    let section = PAGE.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect()
}

#[test]
fn a_full_line_reads_as_the_schema_says() {
    assert_eq!(
        text(&full("db/creds")),
        concat!(
            r#"{"type":"latchkey.audit/v1","ts":"1970-01-01T00:00:00.000Z","event":"deliver","#,
            r#""mount":"00c0ffee00000001","provider":"vault","store":"prod","#,
            r#""endpoint":"https://vault.corp:8200","role":"web","namespace":"shop","serviceAccount":"web","#,
            r#""pod":"web-0","podUid":"uid-1","caller":"driver","object":"db/creds","version":"3","#,
            r#""source":"backend","outcome":"changed","reason":"not_found","latencyMs":1.234,"#,
            r#""audience":"vault","jti":"id-1","polls":7}"#,
            "\n",
        )
    );
}

#[test]
fn what_does_not_apply_is_left_out_except_the_object() {
    let line = Line::new(Wall::from_seconds(0), Event::Refuse, Caller::Sync, Outcome::Refused);
    assert_eq!(
        text(&line),
        concat!(
            r#"{"type":"latchkey.audit/v1","ts":"1970-01-01T00:00:00.000Z","event":"refuse","#,
            r#""caller":"sync","object":null,"outcome":"refused"}"#,
            "\n",
        )
    );
}

#[test]
fn the_page_lists_the_fields_in_their_order() {
    assert_eq!(keys(&text(&full("o"))), table("Fields"));
}

#[test]
fn the_page_lists_each_word_of_each_field() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let labels = |all: Vec<&str>| words(&all);
    assert_eq!(table("Words of `event`"), labels(Event::ALL.iter().map(|w| w.label()).collect()));
    assert_eq!(table("Words of `caller`"), labels(Caller::ALL.iter().map(|w| w.label()).collect()));
    assert_eq!(table("Words of `source`"), labels(Source::ALL.iter().map(|w| w.label()).collect()));
    assert_eq!(table("Words of `outcome`"), labels(Outcome::ALL.iter().map(|w| w.label()).collect()));
    assert_eq!(table("Words of `reason`"), words(&Reason::ALL.map(Reason::label)));
}

#[test]
fn the_examples_of_the_page_are_lines_of_the_schema() {
    let known = table("Fields");
    let examples: Vec<_> = PAGE.lines().filter(|line| line.starts_with('{')).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        let keys = keys(example);
        let expected: Vec<_> = known.iter().filter(|field| keys.contains(field)).cloned().collect();
        assert_eq!(keys, expected, "{example}");
    }
}

#[test]
fn each_word_is_written_as_its_label_says() {
    let written = |line: Line<'_>, key: &str| {
        serde_json::from_str::<Value>(&text(&line)).unwrap()[key].as_str().unwrap().to_owned()
    };
    for event in Event::ALL {
        assert_eq!(written(Line { event: *event, ..full("o") }, "event"), event.label());
    }
    for outcome in Outcome::ALL {
        assert_eq!(written(Line { outcome: *outcome, ..full("o") }, "outcome"), outcome.label());
    }
    for source in Source::ALL {
        assert_eq!(written(Line { source: Some(*source), ..full("o") }, "source"), source.label());
    }
}

#[test]
fn refusals_and_failures_are_told_apart_by_reason() {
    assert_eq!((Event::of(Reason::Policy), Outcome::of(Reason::Policy)), (Event::Refuse, Outcome::Refused));
    assert_eq!((Event::of(Reason::Bug), Outcome::of(Reason::Bug)), (Event::Fail, Outcome::Failed));
}

#[test]
fn a_long_name_is_cut_on_a_character_and_says_so() {
    let long = "ä".repeat(5_000);
    let parsed: Value = serde_json::from_str(&text(&full(&long))).unwrap();
    let object = parsed["object"].as_str().unwrap();
    assert!(object.len() <= Line::TEXT_MAX && object.len() > Line::TEXT_MAX - 4);
    assert!(object.ends_with("ä…"));
}

#[test]
fn p_07_hostile_characters_are_escaped() {
    let hostile = "a\nb\r\t\x1b[31m\x7f\u{85}\u{200b}\u{2028}\u{202e}\u{feff}\"\\ä";
    let line = text(&full(hostile));
    let body = line.strip_suffix('\n').unwrap();
    assert!(body.chars().all(|c| !latchkey::text::is_hostile(c)), "{line:?}");
    assert!(body.contains(r"\u202e") && body.contains('ä'));
}

proptest! {
    #[test]
    fn any_name_makes_one_line_of_json_that_gives_it_back(object in "\\PC{0,40}|[\\x00-\\x{2fff}]{0,40}|\\u{10000}.{0,5}") {
        let line = text(&full(&object));
        prop_assert_eq!(line.matches('\n').count(), 1);
        let parsed: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(parsed["object"].as_str(), Some(&*object));
    }
}
