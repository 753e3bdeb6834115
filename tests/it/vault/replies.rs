//! What becomes of a success: fields, the whole, the kind, the version, and bodies of every shape.

use std::fmt::Write as _;
use std::time::Duration;

use latchkey::error::{Fault, Reason, Retry};
use latchkey::model::locator::vault::Flavour;
use latchkey::model::{Kind, Material};
use proptest::prelude::*;

use super::{Bench, VALUE, envelope, field, get, put, whole};
use crate::testkit::Reply;

async fn brought(bench: &Bench, body: impl Into<Vec<u8>>) -> Material {
    let answered = bench.answered(Reply::new(200, body)).await;
    answered.map_err(|fault| bench.told(&fault)).unwrap_or_else(|text| panic!("{text}"))
}

async fn failed(bench: &Bench, status: u16, body: impl Into<Vec<u8>>) -> (Fault, String) {
    let fault = bench.answered(Reply::new(status, body)).await.err().unwrap();
    let text = bench.told(&fault);
    (fault, text)
}

#[tokio::test]
async fn the_fields_are_those_below_data_and_of_kv_2_those_one_deeper() {
    let bench = Bench::start();
    let v = |text: &str| Some(text.to_owned());
    for (data, name, wanted) in [
        (r#"{"value":"v"}"#, "value", v("v")),
        (r#"{"data":{"value":"v"},"metadata":{"version":3}}"#, "value", v("v")),
        (r#"{"data":{"value":"v"},"metadata":{"version":3}}"#, "metadata", None),
        (r#"{"data":{"inner":"i"},"outer":"o"}"#, "inner", v("i")),
        (r#"{"data":{"inner":"i"},"outer":"o"}"#, "outer", None),
        (r#"{"data":"text","outer":"o"}"#, "data", v("text")),
        (r#"{"data":"text","outer":"o"}"#, "outer", v("o")),
        (r#"{"data":null,"outer":"o"}"#, "data", v("null")),
        (r#"{"data":["x"],"outer":"o"}"#, "outer", v("o")),
        (r#"{"data":{"data":{"deep":"d"},"other":"w"}}"#, "data", v(r#"{"deep":"d"}"#)),
        (r#"{"":"empty"}"#, "", v("empty")),
        (r#"{"value":""}"#, "value", v("")),
    ] {
        let material = brought(&bench, envelope(data)).await;
        assert_eq!(field(&material, name), wanted, "{data} {name}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_text_is_its_json_as_go_writes_it() {
    let bench = Bench::start();
    let data = r#"{"i":10,"f":1.50,"e":1E5,"p":1e+2,"n":-0,"big":12345678901234567890123,"huge":1E400,"t":true,"z":null,
        "l": [1, "a<b", {"b": 1, "a": [ ]}], "o": {"z": 1.0, "é": "\u2028", "a": {}}, "s": "<\/&\t\u00e9"}"#;
    let material = brought(&bench, envelope(data)).await;
    for (name, wanted) in [
        ("i", "10"),
        ("f", "1.50"),
        ("e", "1E5"),
        ("p", "1e+2"),
        ("n", "-0"),
        ("big", "12345678901234567890123"),
        ("huge", "1E400"),
        ("t", "true"),
        ("z", "null"),
        ("l", r#"[1,"a\u003cb",{"a":[],"b":1}]"#),
        ("o", r#"{"a":{},"z":1.0,"é":"\u2028"}"#),
        ("s", "</&\té"),
    ] {
        assert_eq!(field(&material, name).as_deref(), Some(wanted), "{name}");
    }
}

#[tokio::test]
async fn the_whole_is_the_envelope_in_gos_order() {
    let mut bench = Bench::start();
    let zero = r#"{"request_id":"","lease_id":"","lease_duration":0,"renewable":false,"data":"#;
    let auth = r#"{"client_token":"c","accessor":"","policies":["a","b"],"token_policies":null,"identity_policies":[],"metadata":{"a":"1","b":"2"},"orphan":true,"entity_id":"e","lease_duration":60,"renewable":true,"mfa_requirement":null}"#;
    let no_auth = r#"{"client_token":"","accessor":"","policies":null,"token_policies":null,"identity_policies":null,"metadata":null,"orphan":false,"entity_id":"","lease_duration":0,"renewable":false,"mfa_requirement":null}"#;
    let wrapped = r#"{"token":"w","accessor":"a","ttl":60,"creation_time":"2026-01-01T00:00:00.12Z","creation_path":"p","wrapped_accessor":""}"#;
    let no_wrap = r#"{"token":"","accessor":"","ttl":0,"creation_time":"0001-01-01T00:00:00Z","creation_path":"","wrapped_accessor":""}"#;
    for (body, wanted) in [
        (envelope(r#"{"b":1,"a":"<x>"}"#), format!(r#"{zero}{{"a":"\u003cx\u003e","b":1}},"warnings":null}}"#)),
        (r#"{"data":{}}"#.to_owned(), format!(r#"{zero}{{}},"warnings":null}}"#)),
        (
            r#"{"request_id":"r","warnings":["w <1>","w2"],"data":{"v":1}}"#.to_owned(),
            format!(r#"{zero}{{"v":1}},"warnings":["w \u003c1\u003e","w2"]}}"#),
        ),
        (r#"{"warnings":[],"data":{"v":1}}"#.to_owned(), format!(r#"{zero}{{"v":1}},"warnings":[]}}"#)),
        (
            format!(r#"{{"data":{{"v":1}},"wrap_info":{wrapped},"auth":{{"renewable":true,"num_uses":0,"lease_duration":60,"entity_id":"e","orphan":true,"metadata":{{"b":"2","a":"1"}},"identity_policies":[],"policies":["a","b"],"client_token":"c","token_type":"service"}}}}"#),
            format!(r#"{zero}{{"v":1}},"warnings":null,"auth":{auth},"wrap_info":{wrapped}}}"#),
        ),
        (
            r#"{"auth":{},"wrap_info":{},"data":{"v":1}}"#.to_owned(),
            format!(r#"{zero}{{"v":1}},"warnings":null,"auth":{no_auth},"wrap_info":{no_wrap}}}"#),
        ),
        // Replies of no envelope.
        (
            r#"{"value":"bare","n":1.50,"o":{"z":1,"a":[2]}}"#.to_owned(),
            format!(r#"{zero}{{"n":1.50,"o":{{"a":[2],"z":1}},"value":"bare"}},"warnings":null}}"#),
        ),
        (
            r#"{"renewable":false,"keys":{"data":1}}"#.to_owned(),
            format!(r#"{zero}{{"keys":{{"data":1}}}},"warnings":null}}"#),
        ),
        // The names in the order of their bytes.
        (
            "{\"data\":{\"b\":1,\"a\":2,\"Z\":3,\"é\":4,\"\\ud83d\\ude00\":5,\"\\uffee\":6,\"aa\":7,\"\":8,\"_\":9}}".to_owned(),
            format!("{zero}{{\"\":8,\"Z\":3,\"_\":9,\"a\":2,\"aa\":7,\"b\":1,\"é\":4,\"\u{ffee}\":6,\"😀\":5}},\"warnings\":null}}"),
        ),
    ] {
        assert_eq!(whole(&brought(&bench, body).await), wanted);
    }
    let typed = r#"{"data":{"v":1},"mount_type":"kv"}"#;
    let with = format!(r#"{zero}{{"v":1}},"warnings":null,"mount_type":"kv"}}"#);
    assert_eq!(whole(&brought(&bench, typed).await), with);
    bench.access.flavour = Flavour::OpenBao;
    assert_eq!(whole(&brought(&bench, typed).await), with.replace(r#","mount_type":"kv""#, ""));
}

#[tokio::test]
async fn an_envelope_is_read_as_go_reads_it() {
    let bench = Bench::start();
    let whole_of = |data: &str| {
        format!(
            r#"{{"request_id":"","lease_id":"","lease_duration":0,"renewable":false,"data":{data},"warnings":null}}"#
        )
    };
    for (body, wanted) in [
        // Two of a name: data is merged, everything else is replaced, inside and out.
        (r#"{"data":{"value":"first"},"data":{"other":"x"}}"#, r#"{"other":"x","value":"first"}"#),
        (r#"{"data":{"v":{"a":1}},"data":{"v":{"b":2}}}"#, r#"{"v":{"b":2}}"#),
        (r#"{"data":{"v":"first","v":"second"}}"#, r#"{"v":"second"}"#),
        (r#"{"data":{"v":1},"data":null,"data":{"w":2}}"#, r#"{"w":2}"#),
        // Names in any case.
        (r#"{"data":{"v":"lower"},"Data":{"v":"upper"}}"#, r#"{"v":"upper"}"#),
        ("{\"DATA\":{\"v\":1},\"Requeſt_Id\":\"x\"}", r#"{"v":1}"#),
        // Nothing changes a plain field that is null.
        (
            r#"{"lease_id":null,"lease_duration":null,"renewable":null,"warnings":null,"data":{"v":1}}"#,
            r#"{"v":1}"#,
        ),
        // What follows is not looked at, however it looks.
        ("{\"data\":{\"v\":1}}garbage", r#"{"v":1}"#),
        ("{\"data\":{\"v\":1}}\n{\"data\":{\"v\":2}}", r#"{"v":1}"#),
        (" \t\r\n{ \"data\" : { \"v\" : 1 } , \"more\" : [ ] }", r#"{"v":1}"#),
        // Half of a pair, and a whole one.
        (
            r#"{"data":{"a":"a\ud800b","b":"\ud83d\ude00","c":"\udc00","d":"\ud800\u0041","e":"\ud800\ud83d\ude00"}}"#,
            "{\"a\":\"a\u{fffd}b\",\"b\":\"😀\",\"c\":\"\u{fffd}\",\"d\":\"\u{fffd}A\",\"e\":\"\u{fffd}😀\"}",
        ),
        (r#"{"data":{"a":"\u00e9\"\\\/\b\f\n\r\t\u0000"}}"#, "{\"a\":\"é\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\"}"),
    ] {
        assert_eq!(whole(&brought(&bench, body).await), whole_of(wanted), "{body}");
    }
    // One replacement for each byte that is none of UTF-8, in names too, with escapes and without.
    for (body, wanted) in [
        (&b"{\"data\":{\"v\":\"caf\xe9\"}}"[..], "{\"v\":\"caf\u{fffd}\"}"),
        (b"{\"data\":{\"v\":\"\xe2\x82x\\n\xff\"}}", "{\"v\":\"\u{fffd}\u{fffd}x\\n\u{fffd}\"}"),
        (b"{\"data\":{\"\xff\":\"\xc3\xa9\"}}", "{\"\u{fffd}\":\"é\"}"),
    ] {
        assert_eq!(whole(&brought(&bench, body).await), whole_of(wanted));
    }
}

#[tokio::test]
async fn a_success_without_a_secret_says_what_was_wrong() {
    let bench = Bench::start();
    let foreign =
        "unexpected reply, is a proxy in the way?; check the address: the reply is not a JSON object";
    let no_data = "the reply has no data; check the path, and that there is a secret";
    let typed = |name: &str| {
        format!(
            "the field `{name}` of the reply is not of its type; check the address, and whether a proxy changes replies"
        )
    };
    let says =
        |words: &str| format!("the reply has no data: {words}; check the path, and that there is a secret");
    let html = format!("<html>{VALUE}</html>");
    for (body, reason, text) in [
        ("", Reason::Upstream, "the reply (200) is empty; check that the path answers this method with a secret".to_owned()),
        ("   \n", Reason::Upstream, foreign.to_owned()),
        (&html, Reason::Upstream, foreign.to_owned()),
        ("-----BEGIN CERTIFICATE-----\nCANARY", Reason::Upstream, foreign.to_owned()),
        ("[]", Reason::Upstream, foreign.to_owned()),
        (r#"[{"a":1}]"#, Reason::Upstream, foreign.to_owned()),
        (r#""CANARY""#, Reason::Upstream, foreign.to_owned()),
        ("5", Reason::Upstream, foreign.to_owned()),
        ("true", Reason::Upstream, foreign.to_owned()),
        ("nul", Reason::Upstream, foreign.to_owned()),
        (r#"{"data":{"a":"CANARY-value""#, Reason::Upstream, foreign.to_owned()),
        ("\u{feff}{\"data\":{}}", Reason::Upstream, foreign.to_owned()),
        ("{}", Reason::Upstream, no_data.to_owned()),
        ("null", Reason::Upstream, no_data.to_owned()),
        (r#"{"data":null}"#, Reason::Upstream, no_data.to_owned()),
        (r#"{"request_id":"x","lease_id":""}"#, Reason::Upstream, no_data.to_owned()),
        (r#"{"warnings":["w1","w2"],"data":null}"#, Reason::Upstream, says("w1; w2")),
        (r#"{"errors":["odd"]}"#, Reason::Upstream, says("odd")),
        (r#"{"errors":["odd"],"more":"CANARY-value"}"#, Reason::Upstream, says("odd")),
        (
            r#"{"wrap_info":{"token":"hvs.CANARY","ttl":60},"data":null}"#,
            Reason::Setup,
            "the server wrapped its reply for someone else to fetch; let no `min_wrapping_ttl` of a policy wrap the \
             replies of this path".to_owned(),
        ),
        (
            r#"{"auth":{"client_token":"hvs.CANARY"},"data":null}"#,
            Reason::Upstream,
            "the reply has a token, and no data; read a path that answers with data".to_owned(),
        ),
        (r#"{"data":"text"}"#, Reason::Upstream, typed("data")),
        (r#"{"data":["a"]}"#, Reason::Upstream, typed("data")),
        (r#"{"data":false}"#, Reason::Upstream, typed("data")),
        (r#"{"request_id":5,"data":{"v":1}}"#, Reason::Upstream, typed("request_id")),
        (r#"{"lease_duration":"60","data":{"v":1}}"#, Reason::Upstream, typed("lease_duration")),
        (r#"{"lease_duration":60.5,"data":{"v":1}}"#, Reason::Upstream, typed("lease_duration")),
        (r#"{"lease_duration":99999999999999999999,"data":{"v":1}}"#, Reason::Upstream, typed("lease_duration")),
        (r#"{"renewable":"true","data":{"v":1}}"#, Reason::Upstream, typed("renewable")),
        (r#"{"warnings":"w","data":{"v":1}}"#, Reason::Upstream, typed("warnings")),
        (r#"{"auth":[],"data":{"v":1}}"#, Reason::Upstream, typed("auth")),
        (r#"{"auth":{"metadata":{"a":1}},"data":{"v":1}}"#, Reason::Upstream, typed("auth")),
        (r#"{"wrap_info":{"ttl":"1"},"data":{"v":1}}"#, Reason::Upstream, typed("wrap_info")),
    ] {
        let (fault, told) = failed(&bench, 200, body).await;
        assert_eq!((fault.problem.reason, fault.retry, fault.doubtful), (reason, Retry::Never, true), "{body}");
        assert_eq!(told, format!("at SITE: {text}"), "{body}");
    }
    let (fault, told) = failed(&bench, 204, "").await;
    assert_eq!(fault.problem.reason, Reason::Upstream);
    assert!(told.starts_with("at SITE: the reply (204) is empty"), "{told}");
}

#[tokio::test]
async fn broken_json_is_never_taken_for_a_secret() {
    let bench = Bench::start();
    for value in [
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "- 1",
        "0x1",
        "NaN",
        "tru",
        "nulll",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\u{1}\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{1:1}",
        "[",
        "{",
        "{\"a\":}",
        "1,,",
        "",
    ] {
        let (fault, _) = failed(&bench, 200, format!("{{\"data\":{{\"v\":{value}}}}}")).await;
        assert_eq!(fault.problem.reason, Reason::Upstream, "{value}");
    }
}

#[tokio::test]
async fn depth_and_number_of_values_are_bounded() {
    let bench = Bench::start();
    let nested = |depth: usize| format!("{{\"data\":{{\"v\":{}{}}}}}", "[".repeat(depth), "]".repeat(depth));
    for depth in [200, 510] {
        let material = brought(&bench, nested(depth)).await;
        assert_eq!(field(&material, "v").unwrap().len(), 2 * depth);
    }
    let list = |values: usize| format!("{{\"data\":{{\"v\":[{}1]}}}}", "1,".repeat(values - 3));
    brought(&bench, list(100_000)).await;
    for body in [nested(511), nested(500_000), "[".repeat(1_000_000), list(100_001)] {
        let (fault, told) = failed(&bench, 200, body).await;
        assert_eq!(fault.problem.reason, Reason::Upstream);
        assert_eq!(told, "at SITE: the reply is nested too deep, or has too many values; split the secret");
    }
}

#[tokio::test]
async fn the_kind_is_what_the_reply_says() {
    let bench = Bench::start();
    let kind = async |path: &str, body: &str| {
        bench.kit.script("/v1/", Reply::new(200, body));
        let material = bench.read(get(path)).await.map_err(|fault| bench.told(&fault));
        material.unwrap_or_else(|text| panic!("{text}")).kind
    };
    let plain = envelope(r#"{"value":"v"}"#);
    let kv2 = envelope(r#"{"data":{"value":"v"},"metadata":{"version":3}}"#);
    for path in ["kv/x", "kv/data/x?list=true", "kv/totp/codes/x", "my-cubbyhole/x", "kv?version=3"] {
        assert!(matches!(kind(path, &plain).await, Kind::Static), "{path}");
    }
    for path in ["kv/data/x", "kv/data/x?version=0", "kv/data/x?xversion=3"] {
        assert!(matches!(kind(path, &kv2).await, Kind::Static), "{path}");
    }
    for path in ["kv/data/x?version=3", "kv/data/x?a=b&version=3"] {
        assert!(matches!(kind(path, &kv2).await, Kind::Pinned), "{path}");
    }
    for path in ["cubbyhole/x", "team/cubbyhole/x", "totp/code/x", "team/totp/code/x"] {
        assert!(matches!(kind(path, &plain).await, Kind::OneShot), "{path}");
    }
    for body in [
        r#"{"auth":{"client_token":"t"},"data":{"v":1}}"#,
        r#"{"wrap_info":{"token":"t"},"data":{"v":1}}"#,
        r#"{"mount_type":"totp","data":{"v":1}}"#,
        r#"{"mount_type":"cubbyhole","data":{"v":1}}"#,
    ] {
        assert!(matches!(kind("kv/x", body).await, Kind::OneShot), "{body}");
    }
    bench.kit.script("/v1/", Reply::new(200, &*plain));
    let issued = bench.read(put("pki/issue/web", "{}")).await.unwrap_or_else(|_| panic!());
    assert!(matches!(issued.kind, Kind::OneShot) && !issued.kind.shared());
}

#[tokio::test]
async fn f_15_another_version_than_was_asked_for_is_no_answer() {
    let bench = Bench::start();
    let kv2 = envelope(r#"{"data":{"value":"CANARY"},"metadata":{"version":3}}"#);
    for path in ["kv/data/x?version=2", "kv/data/x?a=b&version=33"] {
        bench.kit.script("/v1/", Reply::new(200, &*kv2));
        let fault = bench.read(get(path)).await.err().expect("another version");
        assert_eq!(
            (fault.problem.reason, fault.retry, fault.doubtful),
            (Reason::Upstream, Retry::Never, true)
        );
        let told = bench.told(&fault);
        assert!(
            told.starts_with("at SITE: the reply does not match the request: it has version 3"),
            "{told}"
        );
    }
    // A field of that name is the secret's own where there is no wrapping, and words are no versions.
    let own = envelope(r#"{"metadata":{"version":3},"v":"x"}"#);
    for (path, body) in [
        ("kv/x?version=2", &own),
        ("kv/data/x?version=new", &kv2),
        ("kv/data/x?version=03", &kv2),
        ("kv/data/x?version=2&version=4", &kv2),
    ] {
        bench.kit.script("/v1/", Reply::new(200, &**body));
        assert!(bench.read(get(path)).await.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn a_lease_is_taken_as_it_was_granted() {
    let bench = Bench::start();
    let before = bench.cx.clock.now();
    let body = r#"{"request_id":"r","lease_id":"database/creds/web/CANARY","renewable":true,"lease_duration":3600,"data":{"v":1}}"#;
    bench.kit.script("/v1/", Reply::new(200, body));
    let material = bench.read(put("database/creds/web", "{}")).await.unwrap_or_else(|_| panic!());
    // Leased bytes are issued once, so they keep the id of the request that issued them.
    assert_eq!(
        whole(&material),
        r#"{"request_id":"r","lease_id":"database/creds/web/CANARY","lease_duration":3600,"renewable":true,"data":{"v":1},"warnings":null}"#
    );
    let shown = format!("{:?}", material.kind);
    let Kind::Leased(lease) = material.kind else { panic!("{shown}") };
    assert!(!shown.contains("CANARY"), "{shown}");
    assert_eq!(lease.id.0.expose(), b"database/creds/web/CANARY");
    assert_eq!((lease.granted, lease.renewable), (Duration::from_secs(3600), true));
    assert!(lease.issued >= before && lease.issued <= bench.cx.clock.now());
    for (duration, granted) in [("0", 0), ("-5", 0), ("9223372036854775807", i64::MAX as u64)] {
        let body = format!(r#"{{"lease_id":"L","lease_duration":{duration},"data":{{"v":1}}}}"#);
        let Kind::Leased(lease) = brought(&bench, body).await.kind else { panic!("{duration}") };
        assert_eq!((lease.granted, lease.renewable), (Duration::from_secs(granted), false));
    }
}

#[tokio::test]
async fn the_version_is_that_of_kv_2() {
    let bench = Bench::start();
    for (data, wanted) in [
        (r#"{"data":{"v":1},"metadata":{"version":12}}"#, Some("12")),
        (r#"{"data":{},"metadata":{"version":1}}"#, Some("1")),
        (r#"{"data":{"v":1},"metadata":{"version":"x"}}"#, None),
        (r#"{"data":{"v":1},"metadata":"m"}"#, None),
        (r#"{"data":{"v":1}}"#, None),
        (r#"{"data":"v","metadata":{"version":1}}"#, None),
        (r#"{"v":1,"metadata":{"version":1}}"#, None),
    ] {
        assert_eq!(brought(&bench, envelope(data)).await.parts[0].version.as_deref(), wanted, "{data}");
    }
}

#[tokio::test]
async fn every_two_hundred_with_a_secret_is_a_success() {
    let bench = Bench::start();
    for status in [200, 201, 202, 206, 299] {
        let reply = Reply::new(status, envelope(r#"{"v":"x"}"#)).header("content-type", "text/plain");
        let material = bench.answered(reply).await.unwrap_or_else(|fault| panic!("{}", bench.told(&fault)));
        assert_eq!(field(&material, "v").as_deref(), Some("x"), "{status}");
    }
    let large = envelope(&format!("{{\"v\":\"{}\"}}", "x<".repeat(100_000)));
    let material = brought(&bench, large).await;
    assert_eq!(field(&material, "v").unwrap().len(), 200_000);
    assert_eq!(whole(&material).matches("x\\u003c").count(), 100_000);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn whatever_json_comes_is_the_same_json_in_its_field() {
    let (runtime, bench) = (runtime(), Bench::start());
    proptest!(ProptestConfig::with_cases(64), |(value in json())| {
        let body = serde_json::json!({ "data": { "v": value } }).to_string();
        let material = runtime.block_on(brought(&bench, body));
        let text = field(&material, "v").unwrap();
        match value.as_str() {
            Some(raw) => prop_assert_eq!(&text, raw),
            None => prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), &value),
        }
        let all: serde_json::Value = serde_json::from_str(&whole(&material)).unwrap();
        prop_assert_eq!(&all["data"]["v"], &value);
    });
}

#[test]
fn no_bytes_bring_the_store_down() {
    let (runtime, bench) = (runtime(), Bench::start());
    let cuts = r#"{"auth":{"a":"\ud83d\ude00"},"data":{"v":[1.5e-3,{"é":null}]},"lease_id":"x"}"#;
    let cut = (0..cuts.len()).prop_flat_map(move |at| {
        (Just(cuts.as_bytes()[..at].to_vec()), prop::collection::vec(any::<u8>(), 0..8))
    });
    let any = prop_oneof![prop::collection::vec(any::<u8>(), 0..64), cut.prop_map(|(a, b)| [a, b].concat())];
    proptest!(ProptestConfig::with_cases(128), |(body in any)| {
        if let Err(fault) = runtime.block_on(bench.answered(Reply::new(200, body))) {
            let mut text = String::new();
            write!(text, "{}", bench.told(&fault)).unwrap();
            prop_assert!(fault.problem.reason == Reason::Upstream || fault.problem.reason == Reason::Setup);
        }
    });
}
