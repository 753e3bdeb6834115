//! The whole agent before the real server: classes of the Vault and the OpenBao provider as they are, and our own.
//! What is asked of the server is counted at the server's side.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Mutex;
use tonic::Code;

use super::bed::bed;
use super::cluster::{AUDIENCE, forged};
use super::node::{Counted, claims, holding, with_token};
use crate::support::agent::files;
use crate::support::contract::nowhere;

/// An object `NAME-0`, `NAME-1` … each, with that many values in the server.
async fn objects(name: &str, count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let path = format!("secret/data/app/{name}-{number}");
        bed().await.admin.write(&path, json!({ "data": { "value": format!("{name} {number}") } })).await;
        text += &format!("- objectName: o{number}\n  secretPath: {path}\n  secretKey: value\n");
    }
    text
}

#[tokio::test]
async fn a_class_of_the_vault_provider_is_mounted_as_it_is() {
    let node = Counted::start("", "").await;
    bed().await.admin.write("kv1/app/upstream", json!({ "user": "web", "port": 5432 })).await;
    bed().await.admin.write("secret/data/app/upstream", json!({ "data": { "cert": "Y2VydA==" } })).await;
    let objects = "- objectName: user\n  secretPath: kv1/app/upstream\n  secretKey: user\n  filePermission: 0400\n\
                   - objectName: port\n  secretPath: v1/kv1/app/upstream\n  secretKey: port\n\
                   - objectName: cert\n  secretPath: secret/data/app/upstream\n  secretKey: cert\n  encoding: base64\n";
    let mounted = node
        .delivered(
            "vault",
            &holding("app", 1).await,
            &[("roleName", "app"), ("vaultAddress", &node.front.url()), ("objects", objects)],
        )
        .await;
    let files = files(&mounted);
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), ["cert", "port", "user"]);
    assert_eq!((files["user"].0, &files["user"].1[..]), (0o400, &b"web"[..]));
    assert_eq!((files["port"].0, &files["port"].1[..]), (0o644, &b"5432"[..]));
    assert_eq!(&files["cert"].1[..], b"cert");
    // Two files of one object are cut from one read.
    assert_eq!((node.front.count("GET kv1/app/upstream"), node.front.count("login")), (1, 1));
    nowhere(&node.agent, "Y2VydA==");
}

#[tokio::test]
async fn a_class_of_the_openbao_provider_is_mounted_through_a_jwt_mount() {
    let node = Counted::start("", "").await;
    let objects = objects("openbao", 1).await;
    let url = node.front.url();
    let parameters = [
        ("openbaoRoleName", "app"),
        ("baoAddress", url.as_str()),
        ("baoAuthMountPath", "jwt"),
        ("audience", AUDIENCE),
        ("objects", &objects),
    ];
    let mounted = node.delivered("openbao", &holding("app", 1).await, &parameters).await;
    assert_eq!(&files(&mounted)["o0"].1[..], b"openbao 0");
    assert_eq!(node.front.count("POST auth/jwt/login"), 1);
}

#[tokio::test]
async fn our_own_class_names_the_store() {
    let node = Counted::start(", role: app", "").await;
    objects("native", 2).await;
    let secrets = "a: { store: vault, path: secret/data/app/native-0 }\nb: { store: vault, path: secret/data/app/native-1 }\n";
    let parameters = [("secrets", secrets), ("files", "first: a.value\nsecond: b.value\n")];
    let mounted = node.delivered("latchkey", &holding("app", 1).await, &parameters).await;
    let files = files(&mounted);
    assert_eq!((&files["first"].1[..], &files["second"].1[..]), (&b"native 0"[..], &b"native 1"[..]));
    assert_eq!(node.front.count("login"), 1);
}

#[tokio::test]
async fn the_servers_words_are_in_the_pods_event_and_its_token_is_not() {
    let node = Counted::start("", "").await;
    let objects = objects("refused", 1).await;
    let parameters = [("roleName", "app"), ("objects", objects.as_str())];
    let fake = forged(&claims(bed().await, "app", 3));
    for (pod, words) in [
        (holding("stranger", 2).await, "service account name not authorized"),
        (with_token("app", 3, fake), "permission denied"),
    ] {
        let (code, text) = node.refused("vault", &pod, &parameters).await;
        assert_eq!(code, Code::Unauthenticated, "{text}");
        assert!(text.lines().next().unwrap().contains(words), "{text}");
        for part in pod.tokens[AUDIENCE].token.split('.').skip(1) {
            assert!(!text.contains(part), "{text}");
            nowhere(&node.agent, part);
        }
    }
}

#[tokio::test]
async fn every_object_that_fails_is_named() {
    let node = Counted::start("", "").await;
    let mut objects = objects("partly", 1).await;
    objects += "- objectName: gone\n  secretPath: secret/data/app/partly-gone\n  secretKey: value\n\
                - objectName: denied\n  secretPath: secret/data/other/partly\n  secretKey: value\n";
    let parameters = [("roleName", "app"), ("objects", objects.as_str())];
    let (code, text) = node.refused("vault", &holding("app", 1).await, &parameters).await;
    assert_eq!(code, Code::PermissionDenied, "{text}");
    assert!(text.contains("gone") && text.contains("denied"), "{text}");
}

#[tokio::test]
async fn polls_of_what_is_fresh_reach_nobody() {
    let node = Counted::start("", "").await;
    let objects = objects("fresh", 4).await;
    let (pod, parameters) = (holding("app", 1).await, [("roleName", "app"), ("objects", objects.as_str())]);
    let first = node.delivered("vault", &pod, &parameters).await;
    assert_eq!((node.front.count("GET secret/data/app/fresh"), node.front.count("login")), (4, 1));
    node.front.reset();
    for _ in 0..5 {
        assert!(node.delivered("vault", &pod, &parameters).await.files == first.files);
    }
    assert_eq!(node.front.counts().len(), 0, "{:?}", node.front.counts());
}

#[tokio::test]
async fn a_session_that_ends_is_followed_by_another() {
    let node = Counted::start(", fresh: 0s", "").await;
    bed()
        .await
        .role(
            &bed().await.admin,
            "brief",
            &["app"],
            json!({ "token_policies": ["app"], "token_ttl": "2s", "token_max_ttl": "2s" }),
        )
        .await;
    let objects = objects("brief", 1).await;
    let (pod, parameters) = (holding("app", 1).await, [("roleName", "brief"), ("objects", objects.as_str())]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        node.delivered("vault", &pod, &parameters).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(node.front.count("login") >= 2, "{:?}", node.front.counts());
}

/// The start of a node: its 110 pods at once, with 20 ms before each of the server's answers.
#[tokio::test]
async fn pods_of_one_account_log_in_each_and_read_once() {
    storm("storm-shared", |_| "app".to_owned(), 4).await;
}

#[tokio::test]
async fn pods_of_many_accounts_log_in_each_and_read_each() {
    storm("storm-apart", |number| format!("app-{number}"), 4 * PODS).await;
}

async fn storm(name: &str, account: impl Fn(usize) -> String, reads: usize) {
    // One at a time: each wants the machine for itself.
    static STORM: Mutex<()> = Mutex::const_new(());
    let _alone = STORM.lock().await;
    let node = Counted::start("", "").await;
    let objects = objects(name, 4).await;
    let mut pods = Vec::new();
    for number in 0..PODS {
        pods.push(holding(&account(number), number).await);
    }
    node.front.kit.delay(Duration::from_millis(20));
    let start = Instant::now();
    let parameters = [("roleName", "app"), ("objects", objects.as_str())];
    let mounts = pods.iter().map(|pod| node.delivered("vault", pod, &parameters));
    for mounted in join_all(mounts).await {
        let files = files(&mounted);
        assert_eq!(files.len(), 4);
        assert!(files.iter().all(|(path, file)| *file.1 == *format!("{name} {}", &path[1..])));
    }
    let seen = (node.front.count("login"), node.front.count(&format!("GET secret/data/app/{name}")));
    assert_eq!(seen, (PODS, reads), "{:?}", node.front.counts());
    assert_eq!(node.front.counts().values().sum::<usize>(), PODS + reads, "and nothing else");
    // What is shipped takes a fraction of it (`benches/load/run-vault`); here everything is unoptimised and traced.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_address_that_is_not_permitted_is_never_connected_to() {
    let node = Counted::start("", "").await;
    let elsewhere = bed().await.front();
    let objects = objects("permitted", 1).await;
    let url = elsewhere.url();
    let parameters = [("roleName", "app"), ("vaultAddress", url.as_str()), ("objects", objects.as_str())];
    let (code, text) = node.refused("vault", &holding("app", 1).await, &parameters).await;
    assert_eq!(code, Code::PermissionDenied, "{text}");
    assert!(text.contains(&url), "the line to add: {text}");
    assert_eq!((elsewhere.kit.connections(), node.front.kit.connections()), (0, 0));
}

/// The command, as an administrator runs it on a manifest.
#[tokio::test]
async fn the_command_mounts_a_class_of_the_vault_provider() {
    let node = Counted::start("", "").await;
    let objects = objects("command", 1).await;
    let at = |name: &str| node.agent.path(name);
    let indented = objects.replace('\n', "\n      ");
    let class = format!(
        "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{ name: web, namespace: web }}\n\
         spec:\n  provider: vault\n  parameters:\n    roleName: app\n    objects: |\n      {indented}\n"
    );
    std::fs::write(at("class.yaml"), class).unwrap();
    let pod = holding("app", 1).await;
    std::fs::write(at("token"), &pod.tokens[AUDIENCE].token).unwrap();
    std::fs::create_dir(at("out")).unwrap();
    node.command(&at("class.yaml"), "app", &at("out")).await;
    assert_eq!(std::fs::read(at("out").join("o0")).unwrap(), b"command 0");
    assert_eq!(node.front.count("login"), 1);
}

/// Pods of a full node.
const PODS: usize = 110;
