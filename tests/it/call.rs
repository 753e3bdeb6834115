//! Pure: the driver's envelope, tokens and identity, error texts.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use latchkey::clock::Wall;
use latchkey::error::{Problem, Problems, Reason};
use latchkey::model::{self, Audience, Call, Caller, Envelope, FileMode};
use latchkey::text::{nearest, printable};
use proptest::prelude::*;
use serde_json::{Value, json};

const UID: &str = "a8d60e57-786c-486c-acff-c7a172eb81be";
const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

fn attributes() -> BTreeMap<String, String> {
    [
        ("csi.storage.k8s.io/ephemeral", "true"),
        ("csi.storage.k8s.io/pod.name", "web-1"),
        ("csi.storage.k8s.io/pod.namespace", "shop"),
        ("csi.storage.k8s.io/pod.uid", UID),
        ("csi.storage.k8s.io/serviceAccount.name", "web"),
        ("secretProviderClass", "class"),
        ("providerName", "latchkey"),
        ("secrets", "a: {}"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn envelope(attributes: &BTreeMap<String, String>) -> Envelope {
    Envelope {
        attributes: serde_json::to_vec(attributes).unwrap().into(),
        secrets: Bytes::from_static(b"null"),
        target_path: format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/s/mount").into(),
        permission: Bytes::from_static(b"420"),
    }
}

fn with(key: &str, value: &str) -> Envelope {
    let mut all = attributes();
    all.insert(key.to_owned(), value.to_owned());
    envelope(&all)
}

fn refused(envelope: &Envelope) -> Problems {
    let Err(problems) = Call::parse(envelope) else { panic!("taken") };
    problems
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", BASE64.encode(claims.to_string()))
}

fn claims() -> Value {
    json!({
        "aud": ["vault"],
        "sub": "system:serviceaccount:shop:web",
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "web" }, "pod": { "uid": UID } },
    })
}

fn tokens(entries: &Value) -> Envelope {
    with(TOKENS, &entries.to_string())
}

#[test]
fn kubelets_keys_become_the_subject_and_never_parameters() {
    let call = Call::parse(&envelope(&attributes())).ok().unwrap();
    assert_eq!(call.subject.to_string(), "shop/web");
    assert_eq!(call.subject.pod.unwrap().name.as_str(), "web-1");
    assert_eq!(call.caller, Caller::Volume { pod: model::PodUid::parse(UID).unwrap(), volume: "s".into() });
    assert_eq!(call.class.as_deref(), Some("class"));
    assert_eq!(call.mode, FileMode::DEFAULT);
    assert_eq!(call.attributes.iter().collect::<Vec<_>>(), [("secrets", "a: {}")]);
    assert!(call.publish.is_none());
}

#[test]
fn a_volume_is_one_only_where_the_path_agrees_with_the_pods_uid() {
    for path in [
        "/mnt/secrets-store".to_owned(),
        "/var/lib/kubelet/pods/other/volumes/kubernetes.io~csi/s/mount".to_owned(),
        format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi//mount"),
        format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/s"),
        format!("/var/lib/kubelet/pods/{UID}/volumes/other.io~csi/s/mount"),
    ] {
        let call = Call::parse(&Envelope { target_path: path.clone().into(), ..envelope(&attributes()) });
        let call = call.ok().unwrap();
        assert_eq!((call.caller, call.subject.pod), (Caller::Sync, None), "{path}");
    }
}

#[test]
fn a_call_without_a_target_path_is_refused() {
    let text = refused(&Envelope { target_path: Bytes::new(), ..envelope(&attributes()) }).text();
    assert!(text.starts_with("invalid") && text.contains("parameter target_path: is empty"), "{text}");
}

/// The attributes, with more members behind the others.
fn written(more: &str) -> Envelope {
    let all = serde_json::to_string(&attributes()).unwrap();
    let text = format!("{},{more}}}", all.strip_suffix('}').unwrap());
    Envelope { attributes: text.into(), ..envelope(&attributes()) }
}

#[test]
fn attributes_are_read_as_go_reads_them() {
    for (more, value) in [
        (r#""x":null"#, ""),
        (r#""x":"a","x":"b""#, "b"),
        (r#""x":"a","x":null"#, ""),
        (r#""x":"a","\u0078":"b""#, "b"),
        (r#""x":"\ud83d\ude00""#, "😀"),
        (r#""x":"a\ud83db""#, "a\u{fffd}b"),
        (r#""x":"\udc00\ud83d""#, "\u{fffd}\u{fffd}"),
        (r#""x":"a\u0000b""#, "a\0b"),
        (r#""x":"\/\b\f\"\\""#, "/\u{8}\u{c}\"\\"),
        ("\n\t\"x\" : \"y\"\r\n", "y"),
    ] {
        let call = Call::parse(&written(more)).unwrap_or_else(|problems| panic!("{more}: {problems}"));
        assert_eq!(call.attributes.get("x"), Some(value), "{more}");
    }
    for more in [r#""x":1"#, r#""x":true"#, r#""x":["a"]"#, r#""x":{}"#, r#""x":1.5,"x":"a""#] {
        let text = refused(&written(more)).text();
        assert!(text.contains("parameter x: is not a string"), "{more}: {text}");
    }
    // Where it breaks is told, and none of it.
    for (more, at) in [
        ("\n\"x\":'CANARY'", "line 2, column 5"),
        ("\n\"x\":\"CANARY\\q\"", "line 2"),
        ("\n\"x\":\"CANARY\n\"", "line 2"),
        ("\n\"CANARY\"", "line 2"),
        ("\n\n", "line 3, column 2"),
    ] {
        let text = refused(&written(more)).text();
        assert!(text.contains("is not a JSON object of strings") && text.contains(at), "{more}: {text}");
        assert!(!text.contains("CANARY"), "{text}");
    }
    for whole in ["{} {}", "{}x", "\u{feff}{}", "[]", "\"x\"", "5", "x", " ", "", "{", "{'a':'b'}", "nul"] {
        let text = refused(&Envelope { attributes: whole.into(), ..envelope(&attributes()) }).text();
        assert!(text.contains("parameter attributes"), "{whole}: {text}");
    }
    // Nothing at all is an object without members: it lacks what kubelet says.
    for none in ["null", " {} "] {
        let text = refused(&Envelope { attributes: none.into(), ..envelope(&attributes()) }).text();
        assert!(text.contains("pod.namespace: is missing"), "{none}: {text}");
    }
}

#[test]
fn everything_wrong_with_the_envelope_is_told_at_once() {
    let mut all = attributes();
    all.insert("csi.storage.k8s.io/serviceAccount.nam".to_owned(), "x".to_owned());
    let problems = refused(&Envelope {
        permission: Bytes::from_static(b"rw"),
        secrets: Bytes::from_static(b"[]"),
        ..envelope(&all)
    });
    let text = problems.text();
    for name in ["permission", "secrets", "csi.storage.k8s.io/serviceAccount.nam"] {
        assert!(text.contains(&format!("parameter {name}:")), "{text}");
    }
    let mut nobody = attributes();
    nobody.remove("csi.storage.k8s.io/pod.namespace");
    nobody.insert("csi.storage.k8s.io/serviceAccount.name".to_owned(), "Web!".to_owned());
    let text = refused(&envelope(&nobody)).text();
    assert!(text.contains("pod.namespace: is missing; set `podInfoOnMount: true`"), "{text}");
    assert!(text.contains("serviceAccount.name: is not a name"), "{text}");
}

#[test]
fn names_that_kubernetes_does_not_give_are_refused() {
    for (key, value) in [
        ("csi.storage.k8s.io/pod.namespace", "shop/web"),
        ("csi.storage.k8s.io/pod.namespace", "a.b"),
        ("csi.storage.k8s.io/serviceAccount.name", "web:x"),
        ("csi.storage.k8s.io/serviceAccount.name", "web\n"),
        ("csi.storage.k8s.io/pod.uid", "../x"),
        ("csi.storage.k8s.io/pod.name", "Web"),
    ] {
        let problems = refused(&with(key, value));
        assert_eq!(problems.reason(), Reason::Invalid);
        assert!(problems.text().contains(key) && !problems.text().contains(value), "{}", problems.text());
    }
}

#[test]
fn tokens_are_json_in_json_and_taken_by_audience() {
    let jwt = jwt(&claims());
    for entries in [
        json!({ "vault": { "token": jwt, "expirationTimestamp": "2030-01-01T00:00:00Z" } }).to_string(),
        json!({ "vault": { "TOKEN": jwt, "more": [7] } }).to_string(),
        json!({ "vault": { "to\u{212a}en": jwt, "EXPIRATIONTIMESTAMP": null } }).to_string(),
        format!(r#"{{"vault":{{"token":"x"}},"vault":{{"token":"{jwt}"}},"aws":null,"gcp":{{}}}}"#),
        format!(r#" {{"v\u0061ult":{{"token":null,"Token":"{jwt}"}},"aws":{{"token":""}}}} "#),
    ] {
        let call = Call::parse(&with(TOKENS, &entries)).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(call.tokens.audiences().map(Audience::as_str).collect::<Vec<_>>(), ["vault"], "{entries}");
        assert_eq!(call.tokens.get(&Audience::new("vault")).unwrap().raw.expose(), jwt.as_bytes());
    }
    for none in ["", "null", " {} ", r#"{"vault":null}"#, r#"{"vault":{}}"#, r#"{"vault":{"token":null}}"#] {
        assert_eq!(Call::parse(&with(TOKENS, none)).ok().unwrap().tokens.audiences().count(), 0, "{none}");
    }
    let gone = format!(r#"{{"vault":{{"token":"{jwt}"}},"vault":null}}"#);
    assert_eq!(Call::parse(&with(TOKENS, &gone)).ok().unwrap().tokens.audiences().count(), 0);
}

#[test]
fn until_when_a_token_is_good_is_its_own_word_and_not_the_text_beside_it() {
    let mut short = claims();
    short["exp"] = json!(1_900_000_000);
    for (claims, end) in [(short, Some(1_900_000_000)), (claims(), None)] {
        for timestamp in ["2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z", "tomorrow", ""] {
            let entry = json!({ "token": jwt(&claims), "expirationTimestamp": timestamp });
            let call = Call::parse(&tokens(&json!({ "vault": entry }))).ok().unwrap();
            let token = call.tokens.get(&Audience::new("vault")).unwrap();
            assert_eq!(token.claims.expires.map(Wall::seconds), end, "{timestamp}");
        }
    }
}

#[test]
fn a_malformed_entry_is_refused_even_beside_a_good_one() {
    let good = json!({ "token": jwt(&claims()) });
    let canary = "canary-token";
    for bad in [
        json!(canary),
        json!([]),
        json!({ "token": 7 }),
        json!({ "Token": {} }),
        json!({ "token": jwt(&claims()), "expirationTimestamp": 7 }),
    ] {
        let problems = refused(&tokens(&json!({ "vault": good, "aws": bad })));
        assert_eq!(problems.reason(), Reason::Invalid, "{bad}");
        let text = problems.text();
        assert!(text.contains(TOKENS) && !text.contains(canary), "{text}");
    }
    // What does not say whose it is agrees with nobody.
    for bad in [
        json!({ "token": canary }),
        json!({ "token": format!("{canary}.x") }),
        json!({ "token": format!("e30.{}.", BASE64.encode("{}")) }),
        json!({ "token": format!(".{}.x", BASE64.encode("{}")) }),
        json!({ "token": format!("e30.{}.x.y", BASE64.encode("{}")) }),
        json!({ "token": format!("e30.{}.x", BASE64.encode("[7]")) }),
        json!({ "token": "e30.!!!.x" }),
        json!({ "token": format!(" {}", jwt(&claims())) }),
        json!({ "token": format!("{}\n", jwt(&claims())) }),
        json!({ "token": "a.b" }),
    ] {
        let problems = refused(&tokens(&json!({ "vault": good, "aws": bad })));
        assert_eq!(problems.reason(), Reason::Setup, "{bad}");
        let text = problems.text();
        assert!(text.contains(TOKENS) && text.contains("`aws`") && !text.contains(canary), "{text}");
    }
    for bad in ["[]", "7", "{", "canary-token"] {
        let text = refused(&with(TOKENS, bad)).text();
        assert!(text.contains(TOKENS) && !text.contains("canary"), "{text}");
    }
}

#[test]
fn claims_that_disagree_with_the_subject_are_a_matter_of_setup() {
    let change = |pointer: &str, value: Value| {
        let mut claims = claims();
        *claims.pointer_mut(pointer).unwrap() = value;
        claims
    };
    for (claims, word) in [
        (change("/sub", json!("system:serviceaccount:shop:other")), "service account `other`"),
        (change("/sub", json!("system:serviceaccount:other:web")), "namespace `other`"),
        (change("/kubernetes.io/namespace", json!("other")), "namespace `other`"),
        (change("/kubernetes.io/serviceaccount/name", json!("other")), "service account `other`"),
        (change("/kubernetes.io/pod/uid", json!("other")), "pod uid `other`"),
        (change("/aud", json!(["aws"])), "audience that it does not name"),
        (change("/aud", json!("vault2")), "audience that it does not name"),
        (change("/aud", json!([])), "audience that it does not name"),
        (json!({ "aud": "vault" }), "of no service account"),
        (json!({ "aud": "vault", "sub": "system:node:n1" }), "of no service account"),
        (json!({ "aud": "vault", "sub": "system:serviceaccount:shop:web" }), "of no service account"),
        (json!({ "aud": "vault", "kubernetes.io": { "namespace": "shop" } }), "of no service account"),
        (
            change("/kubernetes.io/serviceaccount/name", json!("x")),
            "but `csi.storage.k8s.io/serviceAccount.name`",
        ),
        (
            change("/kubernetes.io/namespace", json!("x")),
            "but `csi.storage.k8s.io/pod.namespace` says `shop`",
        ),
        (change("/kubernetes.io/pod/uid", json!("x")), "but `csi.storage.k8s.io/pod.uid`"),
    ] {
        let problems = refused(&tokens(&json!({ "vault": { "token": jwt(&claims) } })));
        assert_eq!(problems.reason(), Reason::Setup, "{claims}");
        assert!(problems.text().contains(word), "{claims}: {}", problems.text());
    }
    for fine in [
        change("/aud", json!("vault")),
        change("/aud", json!(["x", "vault"])),
        json!({ "aud": "vault", "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "web" } } }),
    ] {
        assert!(Call::parse(&tokens(&json!({ "vault": { "token": jwt(&fine) } }))).is_ok(), "{fine}");
    }
}

#[test]
fn publish_secrets_are_data_and_the_tokens_beside_them_are_not() {
    let secrets = json!({ "clientid": "c", TOKENS: "{\"a\":{\"token\":\"t\"}}" }).to_string();
    let call = Call::parse(&Envelope { secrets: secrets.into(), ..envelope(&attributes()) }).ok().unwrap();
    let publish = call.publish.unwrap();
    assert_eq!(publish.get("clientid").unwrap().expose(), b"c");
    assert!(publish.get(TOKENS).is_none());
    let only = json!({ TOKENS: "{}" }).to_string();
    let call = Call::parse(&Envelope { secrets: only.into(), ..envelope(&attributes()) }).ok().unwrap();
    assert!(call.publish.is_none(), "a pod without nodePublishSecretRef has none");
}

#[test]
fn near_words_are_suggested_and_far_ones_are_not() {
    assert_eq!(nearest("Strore", ["store", "path"]), Some("store"));
    assert_eq!(nearest("xyz", ["store", "path"]), None);
}

proptest! {
    #[test]
    fn no_envelope_makes_the_parser_panic(
        attributes in prop::collection::vec(any::<u8>(), 0..200),
        secrets in "\\PC{0,40}",
        target in "\\PC{0,80}",
        permission in "\\PC{0,8}",
    ) {
        let _ = Call::parse(&Envelope {
            attributes: attributes.into(),
            secrets: secrets.into_bytes().into(),
            target_path: target.into_bytes().into(),
            permission: permission.into_bytes().into(),
        });
    }

    #[test]
    fn no_token_text_makes_the_parser_panic_or_comes_back(body in "[ -~]{0,40}", raw in "[ -~]{12,60}") {
        let text = json!({ "a": { "token": format!("x.{}.y", BASE64.encode(body)) }, "b": { "token": raw } });
        if let Err(problems) = Call::parse(&tokens(&text)) {
            prop_assert!(!problems.text().contains(&raw));
        }
    }

    #[test]
    fn permissions_are_what_go_marshals(mode in 0u32..=0o7777) {
        let envelope = Envelope { permission: mode.to_string().into(), ..envelope(&attributes()) };
        prop_assert_eq!(u32::from(Call::parse(&envelope).ok().unwrap().mode.bits()), mode);
    }

    #[test]
    fn a_text_is_bounded_printable_and_leads_with_the_worst(
        found in prop::collection::vec((0usize..14, "\\PC{0,300}", ".{0,300}"), 1..60),
    ) {
        let problems: Vec<Problem> = found
            .iter()
            .map(|(reason, object, what)| Problem::new(Reason::ALL[*reason], what).object(object))
            .collect();
        let all = Problems::gather(problems).unwrap();
        let text = all.text();
        prop_assert!(text.len() <= Problems::TEXT_MAX);
        let worst = found.iter().map(|(reason, ..)| Reason::ALL[*reason]).min().unwrap();
        prop_assert!(text.starts_with(worst.label()));
        prop_assert!(!text.chars().any(|c| c != '\n' && c.is_control()));
        prop_assert!(text.lines().count() <= found.len() + 1, "nobody can forge a line");
        prop_assert_eq!(&printable(&text.replace('\n', " ")), &text.replace('\n', " "));
    }

    #[test]
    fn no_failing_object_goes_unnamed_for_want_of_room(count in 2usize..80) {
        let problems = (0..count).map(|n| {
            Problem::new(Reason::Forbidden, "x".repeat(200)).object(format!("object-{n:03}")).remedy("y".repeat(200))
        });
        let text = Problems::gather(problems.collect()).unwrap().text();
        prop_assert!(text.len() <= Problems::TEXT_MAX);
        for n in 0..count {
            let name = format!("object-{n:03}");
            prop_assert!(text.contains(&name), "{}", name);
        }
    }
}
