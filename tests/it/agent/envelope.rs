//! Bad envelopes over the real socket: each is refused with a final code, in a text that names the parameter and
//! echoes no content, with one audit line and one figure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use latchkey::driver::{Flavour, request};
use latchkey::proto::csi_driver_provider_client::CsiDriverProviderClient;
use latchkey::proto::{MountRequest, ObjectVersion, VersionRequest};
use serde_json::{Map, Value, json};
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::support::agent::{Agent, ask, faulty, files, pod, shipped};
use crate::support::contract::{
    CANARY, Expect, INVALID, KUBELET, delivered, memory, new_lines, nowhere, of, refusal, refused, send,
};
use crate::support::issuer::{Issuer, claims, holding, now, unsigned};

const TOKEN: &str = "token: { store: local, path: web/token }\n";
const SETUP: Expect = refusal(Code::FailedPrecondition, "setup");
const EXPIRED: Expect = refusal(Code::Unauthenticated, "expired");

fn good() -> MountRequest {
    ask("app", &[("secrets", TOKEN)])
}

/// The good request with other attributes.
fn with_attributes(attributes: impl Into<Vec<u8>>) -> MountRequest {
    MountRequest { attributes: attributes.into().into(), ..good() }
}

/// The good request with these attributes more.
fn plus(more: &Value) -> MountRequest {
    let mut attributes: Map<String, Value> = serde_json::from_slice(&good().attributes).unwrap();
    attributes.extend(more.as_object().unwrap().clone());
    with_attributes(serde_json::to_vec(&attributes).unwrap())
}

async fn channel(agent: &Agent) -> CsiDriverProviderClient<Channel> {
    let path = agent.socket();
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    CsiDriverProviderClient::new(endpoint.connect_with_connector(connect).await.unwrap())
}

#[tokio::test]
async fn g_01_empty_attributes_are_refused() {
    let agent = Agent::start(shipped());
    let text = refused(&agent, &with_attributes(""), INVALID).await;
    assert!(text.starts_with("invalid: parameter attributes: is empty"), "{text}");
}

#[tokio::test]
async fn g_03_a_value_that_is_no_string_is_refused_by_its_key() {
    let agent = Agent::start(shipped());
    for value in [json!(7), json!([CANARY]), json!({ "a": CANARY }), json!(true)] {
        let text = refused(&agent, &plus(&json!({ "weight": value, "height": value })), INVALID).await;
        for key in ["parameter weight:", "parameter height:"] {
            assert!(text.contains(key), "all are named: {text}");
        }
    }
    // As the driver's own decoder has it: the last of two counts, and nothing is an empty text.
    let mut twice = String::from_utf8(good().attributes.to_vec()).unwrap();
    twice.insert_str(1, &format!("\"secrets\":\"{CANARY}\",\"weight\":null,"));
    let text = refused(&agent, &with_attributes(twice), INVALID).await;
    assert!(text.contains("parameter weight: the provider latchkey has no such parameter"), "{text}");
    assert!(!text.contains("secrets"), "{text}");
    for document in [format!("[\"{CANARY}\"]"), format!("\"{CANARY}\"")] {
        let text = refused(&agent, &with_attributes(document), INVALID).await;
        assert!(text.contains("parameter attributes"), "{text}");
    }
    nowhere(&agent, CANARY);
}

#[tokio::test]
async fn g_05_a_request_of_5_or_64_megabytes_is_refused_without_growing_the_agent() {
    let agent = Agent::start(shipped());
    delivered(&agent, &good(), 1).await;
    let (_, before) = memory(&agent);
    let large = plus(&json!({ "secrets": format!("{CANARY}{}", "x".repeat(5 << 20)) }));
    let text = refused(&agent, &large, INVALID).await;
    assert!(text.contains("parameter attributes") && text.contains("1048576 at most"), "{text}");
    let (_, after) = memory(&agent);
    assert!(after - before < 16 << 20, "grew by {} KiB", (after - before) >> 10);

    let huge = plus(&json!({ "secrets": "x".repeat(64 << 20) }));
    for _ in 0..2 {
        let text = refused(&agent, &huge, INVALID).await;
        assert!(text.contains("larger than any class may be"), "{text}");
    }
    let (_, grown) = memory(&agent);
    assert!(grown - after < 16 << 20, "it is not read: grew by {} KiB more", (grown - after) >> 10);
    send(&agent, &good(), KUBELET).await.unwrap();
    nowhere(&agent, CANARY);
}

#[tokio::test]
async fn g_07_what_is_no_utf_8_or_no_json_text_is_refused() {
    let agent = Agent::start(shipped());
    let good = String::from_utf8(good().attributes.to_vec()).unwrap();
    let mut broken = good.replace("web/token", &format!("{CANARY}!")).into_bytes();
    let at = broken.iter().position(|byte| *byte == b'!').unwrap();
    broken[at] = 0xff;
    for bytes in [
        broken,
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}{CANARY}").into_bytes(),
        good.as_bytes()[..good.len() - 1].to_vec(),
    ] {
        let text = refused(&agent, &with_attributes(bytes), INVALID).await;
        assert!(text.contains("parameter attributes"), "{text}");
    }
    nowhere(&agent, CANARY);
    // Half a pair, as Go's decoder reads it, is a character that no path has.
    let half = good.replace("web/token", "web/\\ud800token").into_bytes();
    let text = refused(&agent, &with_attributes(half), INVALID).await;
    assert!(text.contains("parameter secrets"), "{text}");
}

#[tokio::test]
async fn g_09_malformed_secrets_are_refused_without_an_echo() {
    let agent = Agent::start(shipped());
    for secrets in [
        format!("{{\"key\": {CANARY}"),
        format!("[\"{CANARY}\"]"),
        format!("\"{CANARY}\""),
        format!("{{\"key\": [\"{CANARY}\"]}}"),
        format!("{{\"key\":\"{CANARY}\",\"key\":7}}"),
        "7".to_owned(),
    ] {
        let request = MountRequest { secrets: secrets.clone().into_bytes().into(), ..good() };
        let text = refused(&agent, &request, INVALID).await;
        assert!(text.contains("parameter secrets"), "{secrets}: {text}");
    }
    nowhere(&agent, CANARY);
    for secrets in ["null", "{}", "", " null "] {
        let request = MountRequest { secrets: secrets.as_bytes().to_vec().into(), ..good() };
        assert!(send(&agent, &request, KUBELET).await.is_ok(), "`{secrets}` is what the driver sends");
    }
}

#[tokio::test]
async fn g_11_the_permission_is_a_decimal_number() {
    let agent = Agent::start(shipped());
    for (permission, mode) in [("420", 0o644), ("256", 0o400), ("0", 0), ("null", 0), ("4095", 0o7777)] {
        let request = MountRequest { permission: permission.as_bytes().to_vec().into(), ..good() };
        let mounted = send(&agent, &request, KUBELET).await.unwrap();
        assert_eq!(files(&mounted)["token"].0, mode, "{permission}");
    }
    for permission in ["", "NULL", "0644", "-1", "4096", "420.0", "\"420\"", "4e2", "\u{664}\u{662}\u{660}"] {
        let request = MountRequest { permission: permission.as_bytes().to_vec().into(), ..good() };
        let text = refused(&agent, &request, INVALID).await;
        assert!(text.contains("parameter permission"), "{permission}: {text}");
    }
}

#[tokio::test]
async fn g_13_versions_that_the_driver_remembers_never_matter() {
    let agent = Agent::start(shipped());
    let version = |id: &str| ObjectVersion { id: id.to_owned(), version: CANARY.to_owned() };
    let mut versions: Vec<_> = (0..100_000).map(|n| version(&format!("object-{n}"))).collect();
    versions.extend([version(""), version("token"), version("token"), version("../../etc/passwd")]);
    let plain = delivered(&agent, &good(), 1).await;
    let filled = MountRequest { current_object_version: versions.clone(), ..good() };
    let mounted = delivered(&agent, &filled, 0).await;
    assert_eq!((mounted.files, mounted.versions), (plain.files, plain.versions));

    let theirs = ask("app", &[("secrets", "one: { store: local, path: web/one }\n")]);
    let forbidden = refusal(Code::PermissionDenied, "forbidden");
    let without = refused(&agent, &theirs, forbidden).await;
    let with = MountRequest { current_object_version: versions, ..theirs };
    assert_eq!(refused(&agent, &with, forbidden).await, without, "what one had before allows nothing");
    nowhere(&agent, CANARY);
}

#[tokio::test]
async fn g_15_a_missing_token_is_a_matter_of_the_csi_driver_object() {
    let mut agent = Agent::prepare(faulty());
    Issuer::new().trusted_by(&agent, "");
    agent.run();
    let asked = "x: { store: local, path: fault/panic }\n";
    let text = refused(&agent, &of(&pod("app"), asked), SETUP).await;
    assert!(
        text.contains("tokenRequests lack audience `latchkey`") && text.contains("it has none"),
        "{text}"
    );
    let other = claims("app").as_object().map(|map| {
        let mut map = map.clone();
        map.insert("aud".to_owned(), json!(["vault"]));
        Value::Object(map)
    });
    let holder = holding("app", "vault", &unsigned(&other.unwrap()));
    let text = refused(&agent, &of(&holder, asked), SETUP).await;
    assert!(text.contains("lack audience `latchkey`") && text.contains("it has vault"), "{text}");
    assert!(agent.figure("latchkey_panics_total") < 0.1, "the store was not asked");
}

#[tokio::test]
async fn g_17_an_expired_token_is_refused_before_the_store_is_asked() {
    let mut agent = Agent::prepare(faulty());
    let issuer = Issuer::new();
    issuer.trusted_by(&agent, "");
    agent.run();
    let asked = "x: { store: local, path: fault/panic }\n";
    let mut old = claims("app");
    old["exp"] = json!(now() - 3600);
    let mut early = claims("app");
    early["nbf"] = json!(now() + 3600);
    for (pod, word) in [
        (holding("app", "latchkey", &issuer.sign(&old)), "has expired"),
        (holding("app", "latchkey", &issuer.sign(&early)), "is not valid yet"),
    ] {
        let text = refused(&agent, &of(&pod, asked), EXPIRED).await;
        assert!(text.contains(word) && text.contains("audience `latchkey`"), "{text}");
    }
    assert!(agent.figure("latchkey_panics_total") < 0.1, "the store was not asked");
}

#[tokio::test]
async fn g_19_a_token_of_someone_else_is_refused_even_after_a_delivery() {
    let agent = Agent::start(shipped());
    delivered(&agent, &of(&holding("app", "vault", &unsigned(&of_vault("app"))), TOKEN), 1).await;
    let mut namespace = of_vault("app");
    namespace["kubernetes.io"]["namespace"] = json!("shop");
    let mut account = of_vault("app");
    account["sub"] = json!("system:serviceaccount:web:other");
    let mut uid = of_vault("app");
    uid["kubernetes.io"]["pod"]["uid"] = json!("99999999-0000-4000-8000-000000000000");
    for (claims, word) in [
        (namespace, "namespace `shop`"),
        (account, "service account `other`"),
        (uid, "pod uid `99999999-0000-4000-8000-000000000000`"),
        (of_vault("someone"), "service account `someone`"),
    ] {
        let token = unsigned(&claims);
        let text = refused(&agent, &of(&holding("app", "vault", &token), TOKEN), SETUP).await;
        assert!(text.contains(word) && text.contains("audience `vault`"), "{text}");
        nowhere(&agent, &token);
    }
}

fn of_vault(account: &str) -> Value {
    let mut claims = claims(account);
    claims["aud"] = json!("vault");
    claims
}

#[tokio::test]
async fn g_21_volume_attributes_are_trusted_no_more_than_the_class() {
    let agent = Agent::start(shipped());
    let asking = |attributes: &[(&str, &str)]| {
        let mut pod = pod("app");
        pod.volume_attributes = attributes.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let parameters = BTreeMap::from([("secrets".to_owned(), TOKEN.to_owned())]);
        request("class", &parameters, &pod, &Flavour::Driver16)
    };
    let theirs = asking(&[("secrets", "one: { store: local, path: web/one }\n")]);
    refused(&agent, &theirs, refusal(Code::PermissionDenied, "forbidden")).await;
    let posing = asking(&[("csi.storage.k8s.io/serviceAccount.name", "one")]);
    let before = agent.audit().len();
    send(&agent, &posing, KUBELET).await.unwrap();
    assert_eq!(new_lines(&agent, before, 1)[0]["serviceAccount"], "app", "kubelet's word wins");
    let text = refused(&agent, &asking(&[("csi.storage.k8s.io/pod.nmae", CANARY)]), INVALID).await;
    assert!(text.contains("parameter csi.storage.k8s.io/pod.nmae") && text.contains("pod.name`"), "{text}");
    nowhere(&agent, CANARY);
}

#[tokio::test]
async fn g_29_any_version_is_answered_with_ours() {
    let agent = Agent::start(shipped());
    let mut client = channel(&agent).await;
    for asked in ["", "v1alpha1", "v2", "\u{0}"] {
        let answer = client.version(VersionRequest { version: asked.to_owned() }).await.unwrap().into_inner();
        assert_eq!((&*answer.version, &*answer.runtime_name), ("v1alpha1", "latchkey"), "{asked:?}");
        assert!(!answer.runtime_version.is_empty());
    }
}

#[tokio::test]
async fn g_31_with_a_millisecond_left_no_store_is_asked() {
    let agent = Agent::start(faulty());
    let asked = of(&pod("app"), "x: { store: local, path: fault/panic }\n");
    for timeout in [Duration::from_millis(1), Duration::from_nanos(1), Duration::from_millis(15)] {
        let before = agent.audit().len();
        let Err(refusal) = send(&agent, &asked, Some(timeout)).await else { panic!("delivered") };
        assert_eq!(Code::from_i32(refusal.code), Code::Internal);
        assert!(refusal.text.starts_with("timeout: "), "{}", refusal.text);
        assert_eq!(new_lines(&agent, before, 1)[0]["reason"], "timeout");
    }
    assert!(agent.figure("latchkey_panics_total") < 0.1, "the store was asked");
}

#[tokio::test]
async fn g_33_the_same_request_200_times_at_once_gets_200_equal_answers() {
    let agent = Agent::start(shipped());
    let client = channel(&agent).await;
    let before = agent.audit().len();
    let calls = (0..200).map(|_| {
        let mut client = client.clone();
        async move { client.mount(good()).await.map(|answer| answer.into_inner()) }
    });
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let different: BTreeSet<_> = answers
        .iter()
        .map(|answer| (&answer.files[0].contents[..], &answer.object_version[0].version[..]))
        .collect();
    assert_eq!(different.len(), 1);
    assert_eq!(&answers[0].files[0].contents[..], b"s3cr3t-token");
    let delivered = agent.figure("latchkey_mounts_total{provider=\"latchkey\",outcome=\"delivered\"");
    assert!((delivered - 200.0).abs() < 0.1, "{delivered}");
    new_lines(&agent, before, 1);
}
