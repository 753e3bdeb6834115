//! Our requests against captured ones, and the rules that no capture shows.

use std::collections::BTreeMap;

use latchkey::clock::Wall;
use latchkey::driver::{Flavour, Pod, PodToken, request};
use latchkey::proto::MountRequest;
use serde_json::Value;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn pod(name: &str, uid: &str, expires: &str) -> Pod {
    let token = PodToken { token: "eyJhbGciOi.e30.c2ln".into(), expires: Wall::parse(expires).unwrap() };
    Pod {
        namespace: "default".into(),
        service_account: "app".into(),
        name: name.into(),
        uid: uid.into(),
        volume: "s".into(),
        tokens: BTreeMap::from([("openbao".to_owned(), token)]),
        ..Pod::default()
    }
}

fn text(bytes: &[u8]) -> String {
    // The recorder replaced tokens in the decoded text, so that Go's escapes of `<` and `>` are not in the capture.
    String::from_utf8(bytes.to_vec()).unwrap().replace("eyJhbGciOi.e30.c2ln", "<JWT>")
}

fn reproduces(capture: &str, ours: &MountRequest) {
    let capture: Value = serde_json::from_str(capture).unwrap();
    let field = |name: &str| capture[name].as_str().unwrap().to_owned();
    assert_eq!(text(&ours.attributes), field("attributes"));
    assert_eq!(text(&ours.secrets), field("secrets"));
    assert_eq!(text(&ours.target_path), field("target_path"));
    assert_eq!(text(&ours.permission), field("permission"));
    let versions: Vec<_> = ours
        .current_object_version
        .iter()
        .map(|v| format!("id:{:?}  version:{:?}", v.id, v.version))
        .collect();
    assert_eq!(format!("[{}]", versions.join(" ")), field("current_object_version"));
}

#[test]
fn a_call_of_driver_1_6_is_reproduced() {
    let pod = pod("q1-g", "a8d60e57-786c-486c-acff-c7a172eb81be", "2026-11-24T08:54:55Z");
    let ours = request("q1-g", &map(&[("marker", "q1-g")]), &pod, &Flavour::Driver16);
    reproduces(include_str!("../../data/driver/driver-1.6.json"), &ours);
}

#[test]
fn the_first_call_of_driver_1_5_is_reproduced() {
    let pod = pod("q15-g", "1f7fa0a1-c6b8-456e-9c3d-b32ef5f1ea15", "2026-11-24T09:01:39Z");
    let ours = request("q15-g", &map(&[("marker", "q15-g")]), &pod, &Flavour::Driver16);
    reproduces(include_str!("../../data/driver/driver-1.5.json"), &ours);
}

#[test]
fn a_rotation_of_driver_1_5_is_reproduced() {
    let pod = pod("q15-g", "1f7fa0a1-c6b8-456e-9c3d-b32ef5f1ea15", "2026-11-24T09:03:31Z");
    let flavour = Flavour::Driver15Rotation(vec![("secret.txt".into(), "v5".into())]);
    let ours = request("q15-g", &map(&[("marker", "q15-g")]), &pod, &flavour);
    reproduces(include_str!("../../data/driver/driver-1.5-rotation.json"), &ours);
}

#[test]
fn tokens_in_secrets_stand_in_both_places() {
    let pod = pod("t1", "ebbf0e23-82b9-444f-ac4e-0538be7474e1", "2026-11-24T09:07:55Z");
    let parameters = map(&[("marker", "t1"), ("content", "hi")]);
    let ours = request("t1", &parameters, &pod, &Flavour::TokensInSecrets);
    reproduces(include_str!("../../data/driver/driver-1.6-tokens-in-secrets.json"), &ours);
}

#[test]
fn a_sync_is_reproduced() {
    let parameters = map(&[("marker", "sync"), ("content", "synced-by-stub")]);
    let pod = pod("", "", "2026-11-24T08:09:06Z");
    let ours = request("unused", &parameters, &pod, &Flavour::SyncController);
    reproduces(include_str!("../../data/driver/sync-controller.json"), &ours);
}

#[test]
fn text_is_escaped_as_go_does() {
    let parameters = map(&[("objects", "a<b>&\u{2028}\u{2029}\"\\\n\t\u{1}é")]);
    let ours = request("c", &parameters, &Pod::default(), &Flavour::SyncController);
    let attributes = text(&ours.attributes);
    let expected = r#""objects":"a\u003cb\u003e\u0026\u2028\u2029\"\\\n\t\u0001é""#;
    assert!(attributes.contains(expected), "{attributes}");
}

#[test]
fn volume_attributes_win_over_parameters_and_lose_to_kubelet() {
    let pod = Pod {
        namespace: "web".into(),
        volume_attributes: map(&[("role", "mine"), ("csi.storage.k8s.io/pod.namespace", "other")]),
        ..Pod::default()
    };
    let parameters = map(&[("role", "theirs"), ("csi.storage.k8s.io/pod.name", "forged")]);
    let attributes = |flavour| -> BTreeMap<String, String> {
        serde_json::from_slice(&request("c", &parameters, &pod, &flavour).attributes).unwrap()
    };
    let first = attributes(Flavour::Driver16);
    assert_eq!(first["role"], "mine");
    assert_eq!(first["csi.storage.k8s.io/pod.namespace"], "web");
    assert_eq!(first["csi.storage.k8s.io/pod.name"], "");
    assert_eq!(attributes(Flavour::Driver15Rotation(Vec::new()))["role"], "theirs");
}

#[test]
fn the_publish_secret_reaches_the_first_mount_only() {
    let publish = BTreeMap::from([("client>id".to_owned(), "x&y".to_owned())]);
    let pod = Pod { publish: Some(publish), ..Pod::default() };
    let secrets = |flavour| text(&request("c", &BTreeMap::new(), &pod, &flavour).secrets);
    assert_eq!(secrets(Flavour::Driver16), r#"{"client\u003eid":"x\u0026y"}"#);
    assert_eq!(secrets(Flavour::Driver15Rotation(Vec::new())), "{}");
    assert_eq!(secrets(Flavour::SyncController), "{}");
}

#[test]
fn no_token_leaves_no_key() {
    let ours = request("c", &BTreeMap::new(), &Pod::default(), &Flavour::TokensInSecrets);
    assert!(!text(&ours.attributes).contains("tokens"));
    assert_eq!(text(&ours.secrets), "null");
}
