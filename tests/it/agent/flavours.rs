//! Every caller's way of asking, over the real socket: drivers 1.6 and up to 1.5, their rotation, the sync controller,
//! tokens in secrets; with an issuer that the store trusts and without one.

use std::collections::BTreeMap;

use latchkey::driver::{Flavour, Pod, request};
use latchkey::proto::{MountRequest, ObjectVersion};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::agent::{Agent, files, pod, shipped};
use crate::support::contract::{delivered, new_lines, nowhere, of, refusal, refused, send};
use crate::support::issuer::{Issuer, claims, holding, unsigned};

const TOKEN: &str = "token: { store: local, path: web/token }\n";
const DB: &str = "db: { store: local, path: web/db }\n";

fn as_flavour(pod: &Pod, secrets: &str, flavour: &Flavour) -> MountRequest {
    request("class", &BTreeMap::from([("secrets".to_owned(), secrets.to_owned())]), pod, flavour)
}

/// Agents whose store asks for no token, and for one; the pod's token in both cases.
async fn each_trust(test: impl AsyncFn(&Agent, &dyn Fn(&Value) -> String)) {
    for trusting in [false, true] {
        let mut agent = Agent::prepare(shipped());
        let issuer = Issuer::new();
        if trusting {
            issuer.trusted_by(&agent, "");
        }
        agent.run();
        test(&agent, &|claims| issuer.sign(claims)).await;
    }
}

#[tokio::test]
async fn a_rotation_of_driver_1_5_is_the_same_volume_and_gets_the_same_files() {
    each_trust(async |agent, sign| {
        let pod = holding("app", "latchkey", &sign(&claims("app")));
        let first = delivered(agent, &as_flavour(&pod, TOKEN, &Flavour::Driver16), 1).await;
        let rotation = as_flavour(&pod, TOKEN, &Flavour::Driver15Rotation(first.versions.clone()));
        assert_eq!(&rotation.secrets[..], b"{}");
        let before = agent.audit().len();
        let again = send(agent, &rotation, None).await.map_err(|refusal| refusal.text).unwrap();
        assert_eq!((&again.files, &again.versions), (&first.files, &first.versions));
        new_lines(agent, before, 0);
        agent.set("web/token", "web/*", &[("", "rotated")]);
        let changed = delivered(agent, &rotation, 1).await;
        assert_eq!(&files(&changed)["token"].1[..], b"rotated");
        assert_ne!(changed.versions, first.versions, "else the driver would not tell of it");
        assert_eq!(agent.audit().last().unwrap()["caller"], "driver");
    })
    .await;
}

#[tokio::test]
async fn a_sync_has_no_pod_whatever_the_controller_says_of_its_own() {
    each_trust(async |agent, sign| {
        let mut token = claims("app");
        token["kubernetes.io"].as_object_mut().unwrap().remove("pod");
        let nameless =
            Pod { name: String::new(), uid: String::new(), ..holding("app", "latchkey", &sign(&token)) };
        let controllers = Pod {
            name: "secrets-store-sync-controller-7f9c".to_owned(),
            uid: "cccccccc-0000-4000-8000-000000000000".to_owned(),
            ..holding("app", "latchkey", &sign(&token))
        };
        for (pod, lines) in [(&nameless, 1), (&controllers, 0)] {
            let before = agent.audit().len();
            let mounted = delivered(agent, &as_flavour(pod, TOKEN, &Flavour::SyncController), lines).await;
            assert_eq!(&files(&mounted)["token"].1[..], b"s3cr3t-token");
            for line in new_lines(agent, before, lines) {
                assert_eq!((&line["caller"], &line["serviceAccount"]), (&"sync".into(), &"app".into()));
                assert_eq!((&line["pod"], &line["podUid"]), (&Value::Null, &Value::Null));
            }
        }
        // The same account's other sync is another holder, and does not make the first one's look changed.
        delivered(agent, &as_flavour(&nameless, DB, &Flavour::SyncController), 1).await;
        delivered(agent, &as_flavour(&nameless, TOKEN, &Flavour::SyncController), 0).await;
        let mut other = nameless.clone();
        other.service_account = "other".to_owned();
        let text = refused(
            agent,
            &as_flavour(&other, TOKEN, &Flavour::SyncController),
            refusal(Code::FailedPrecondition, "setup"),
        )
        .await;
        assert!(text.contains("service account `app`"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn tokens_in_secrets_are_no_data_of_the_pods() {
    each_trust(async |agent, sign| {
        let mut pod = holding("app", "latchkey", &sign(&claims("app")));
        let plain = as_flavour(&pod, TOKEN, &Flavour::TokensInSecrets);
        assert!(plain.secrets.starts_with(b"{\"csi.storage.k8s.io/serviceAccount.tokens\""));
        delivered(agent, &plain, 1).await;
        pod.publish = Some(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        delivered(agent, &as_flavour(&pod, TOKEN, &Flavour::TokensInSecrets), 0).await;
    })
    .await;
}

#[tokio::test]
async fn captured_requests_of_real_callers_are_served() {
    let agent = Agent::start(shipped());
    agent.set("web/token", "default/app", &[("", "for the captured")]);
    for (name, capture, caller) in [
        ("driver 1.6", include_str!("../../data/driver/driver-1.6.json"), "driver"),
        ("driver 1.5", include_str!("../../data/driver/driver-1.5.json"), "driver"),
        ("its rotation", include_str!("../../data/driver/driver-1.5-rotation.json"), "driver"),
        ("tokens", include_str!("../../data/driver/driver-1.6-tokens-in-secrets.json"), "driver"),
        ("the sync controller", include_str!("../../data/driver/sync-controller.json"), "sync"),
    ] {
        let request = captured(capture);
        let before = agent.audit().len();
        let mounted = send(&agent, &request, None).await.map_err(|refusal| refusal.text).expect(name);
        assert_eq!(&files(&mounted)["token"].1[..], b"for the captured", "{name}");
        // The rotation is of the volume that 1.5 mounted just before.
        let lines = usize::from(name != "its rotation");
        for line in new_lines(&agent, before, lines) {
            assert_eq!((&line["caller"], &line["namespace"]), (&caller.into(), &"default".into()), "{name}");
        }
    }
}

#[tokio::test]
async fn the_captured_sync_is_the_same_with_the_controllers_own_pod_in_it_and_no_deadline() {
    let agent = Agent::start(shipped());
    agent.set("web/token", "default/app", &[("", "for the captured")]);
    let nameless = captured(include_str!("../../data/driver/sync-controller.json"));
    assert_eq!((&nameless.target_path[..], &nameless.secrets[..]), (&b"/mnt/secrets-store"[..], &b"{}"[..]));
    // The pod is one of the controller's namespace, not of the one that is named beside it.
    let mut attributes: BTreeMap<String, String> = serde_json::from_slice(&nameless.attributes).unwrap();
    for (key, value) in
        [("name", "secrets-store-sync-controller-7f9c"), ("uid", "cccccccc-0000-4000-8000-000000000000")]
    {
        let old = attributes.insert(format!("csi.storage.k8s.io/pod.{key}"), value.to_owned());
        assert_eq!(old.as_deref(), Some(""), "{key}");
    }
    let named =
        MountRequest { attributes: serde_json::to_vec(&attributes).unwrap().into(), ..nameless.clone() };
    let mut versions = Vec::new();
    // The same holder: what it has not changed for is not told anew.
    for (request, lines) in [(&nameless, 1), (&named, 0), (&nameless, 0)] {
        let before = agent.audit().len();
        let mounted = send(&agent, request, None).await.map_err(|refusal| refusal.text).unwrap();
        assert_eq!(&files(&mounted)["token"].1[..], b"for the captured");
        versions.push(mounted.versions);
        for line in new_lines(&agent, before, lines) {
            assert_eq!((&line["caller"], &line["podUid"]), (&"sync".into(), &Value::Null));
        }
    }
    assert!(versions.windows(2).all(|two| two[0] == two[1]), "{versions:?}");
}

/// A captured request, with a class of ours in place of its marker and a token in place of its blank.
fn captured(capture: &str) -> MountRequest {
    let capture: Value = serde_json::from_str(capture).unwrap();
    let account = json!({ "namespace": "default", "serviceaccount": { "name": "app" } });
    let token = unsigned(&json!({
        "aud": ["openbao"],
        "sub": "system:serviceaccount:default:app",
        "kubernetes.io": account,
    }));
    let field = |name: &str| capture[name].as_str().unwrap().replace("<JWT>", &token);
    let mut attributes: BTreeMap<String, String> = serde_json::from_str(&field("attributes")).unwrap();
    attributes.retain(|key, _| key != "marker" && key != "content");
    attributes.insert("secrets".to_owned(), TOKEN.to_owned());
    let versions = if field("current_object_version") == "[]" { 0 } else { 1 };
    MountRequest {
        attributes: serde_json::to_vec(&attributes).unwrap().into(),
        secrets: field("secrets").into(),
        target_path: field("target_path").into(),
        permission: field("permission").into(),
        current_object_version: vec![
            ObjectVersion { id: "secret.txt".to_owned(), version: "v5".to_owned() };
            versions
        ],
    }
}

#[tokio::test]
async fn a_token_in_hand_must_agree_even_where_no_store_asks_for_it() {
    each_trust(async |agent, sign| {
        let good = sign(&claims("app"));
        let holder = |audience: &str, token: &str| {
            let mut pod = holding("app", "latchkey", &good);
            pod.tokens.extend(holding("app", audience, token).tokens);
            of(&pod, TOKEN)
        };
        let mut fine = claims("app");
        fine["aud"] = json!("vault");
        delivered(agent, &holder("vault", &unsigned(&fine)), 1).await;
        let setup = refusal(Code::FailedPrecondition, "setup");
        for claims in [claims("app"), {
            let mut c = fine.clone();
            c["sub"] = json!("system:serviceaccount:web:x");
            c
        }] {
            let text = refused(agent, &holder("vault", &unsigned(&claims)), setup).await;
            assert!(text.contains("the token for audience `vault`"), "{text}");
        }
        // An entry without a token is none.
        delivered(agent, &holder("vault", ""), 0).await;
        for token in ["canary-token", "e30.e30", "e30.!.x"] {
            let text = refused(agent, &holder("vault", token), setup).await;
            assert!(text.contains("the token for audience `vault`") && !text.contains("canary"), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_expired_token_that_no_store_asks_for_harms_nobody() {
    let agent = Agent::start(shipped());
    let mut old = claims("app");
    old["exp"] = json!(1_000_000_000);
    delivered(&agent, &of(&holding("app", "latchkey", &unsigned(&old)), TOKEN), 1).await;
}

#[tokio::test]
async fn the_audit_line_names_the_token_by_its_id_and_nothing_else() {
    let mut agent = Agent::prepare(shipped());
    let issuer = Issuer::new();
    issuer.trusted_by(&agent, "");
    agent.run();
    let mut claims = claims("app");
    claims["aud"] = json!("latchkey");
    let token = issuer.sign(&claims);
    delivered(&agent, &of(&holding("app", "latchkey", &token), TOKEN), 1).await;
    let line = &agent.audit()[0];
    assert_eq!((&line["audience"], &line["jti"]), (&"latchkey".into(), &claims["jti"]));
    nowhere(&agent, &token);
    let signature = token.rsplit('.').next().unwrap();
    nowhere(&agent, signature);
    // A pod without any token is told what is missing, though its volume was delivered a moment ago.
    let setup = refusal(Code::FailedPrecondition, "setup");
    refused(&agent, &of(&pod("app"), TOKEN), setup).await;
}
