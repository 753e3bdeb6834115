//! The bed itself, by plain HTTP: who may log in, and in which words the server refuses the others.

use serde_json::{Value, json};

use super::admin::Admin;
use super::bed::{DISCOVERY, JWT, KUBERNETES, NAMESPACE, bed};
use super::cluster::{forged, unsigned};
use crate::support::issuer::now;
use crate::testkit::Reply;

#[tokio::test]
async fn a_good_token_logs_in_at_every_mount() {
    let bed = bed().await;
    for mount in [KUBERNETES, JWT, DISCOVERY] {
        let (status, reply) = bed.admin.log_in(mount, "app", &bed.cluster.token("app")).await;
        assert_eq!(status, 200, "{mount}: {reply}");
        assert_eq!(reply["auth"]["policies"], json!(["app", "default"]), "{mount}");
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_at_every_mount() {
    let bed = bed().await;
    let good = bed.cluster.claims("app");
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        claims
    };
    let sign = |claims: Value| bed.cluster.sign(&claims);
    let tokens = [
        ("expired", sign(with("exp", json!(now() - 600)))),
        ("not yet valid", sign(with("nbf", json!(now() + 600)))),
        ("forged", forged(&good)),
        ("unsigned", unsigned(&good)),
        ("another audience", sign(with("aud", json!(["sts.amazonaws.com"])))),
        ("another account", bed.cluster.token("stranger")),
        ("another namespace", sign(elsewhere(&good))),
        ("no token", "a.b.c".to_owned()),
    ];
    for mount in [KUBERNETES, JWT, DISCOVERY] {
        for (what, token) in &tokens {
            let (status, reply) = bed.admin.log_in(mount, "app", token).await;
            println!("{mount} {what} {status} {reply}");
            assert!(matches!(status, 400 | 403 | 500), "{mount}, {what}: {status} {reply}");
            assert!(reply["auth"].is_null() && !reply["errors"].as_array().unwrap().is_empty(), "{reply}");
        }
    }
}

/// The same account name in another namespace.
fn elsewhere(claims: &Value) -> Value {
    let mut claims = claims.clone();
    claims["sub"] = json!("system:serviceaccount:shop:app");
    claims["kubernetes.io"]["namespace"] = json!("shop");
    claims
}

#[tokio::test]
async fn the_server_names_what_it_minds() {
    let bed = bed().await;
    let (status, reply) = bed.admin.log_in(KUBERNETES, "app", &bed.cluster.token("stranger")).await;
    assert_eq!((status, &reply["errors"]), (403, &json!(["service account name not authorized"])));
}

#[tokio::test]
async fn policies_bind_and_namespaces_are_apart() {
    let bed = bed().await;
    bed.admin.write("secret/data/app/apart", json!({ "data": { "value": "outer" } })).await;
    bed.admin.within(NAMESPACE).write("secret/data/app/apart", json!({ "data": { "value": "inner" } })).await;
    for (admin, value) in [(bed.admin.clone(), "outer"), (bed.admin.within(NAMESPACE), "inner")] {
        let (_, login) = admin.log_in(KUBERNETES, "app", &bed.cluster.token("app")).await;
        let pod = admin.holding(login["auth"]["client_token"].as_str().unwrap());
        assert_eq!(pod.read("secret/data/app/apart").await["data"]["data"]["value"], value);
        assert_eq!(pod.call("GET", "secret/data/other/x", None).await.unwrap().0, 403);
        assert_eq!(pod.call("GET", "secret/data/app/absent", None).await.unwrap().0, 404);
    }
}

#[tokio::test]
async fn a_front_counts_what_passes_and_nothing_else() {
    let bed = bed().await;
    let (front, beside) = (bed.front(), bed.front());
    let through = Admin::new(front.client(), &front.url(), "");
    let (status, reply) = through.log_in(KUBERNETES, "app", &bed.cluster.token("app")).await;
    assert_eq!(status, 200, "{reply}");
    let pod = through.holding(reply["auth"]["client_token"].as_str().unwrap());
    for _ in 0..2 {
        pod.call("GET", "secret/data/app/absent", None).await.unwrap();
    }
    let expected = [("GET secret/data/app/absent", 2), ("POST auth/kubernetes/login", 1)];
    let expected = expected.map(|(key, count)| (key.to_owned(), count)).into();
    assert_eq!(front.counts(), expected);
    assert!(beside.counts().is_empty());
    front.kit.script("/v1/secret/data/app/absent", Reply::text(429, ""));
    assert_eq!(pod.call("GET", "secret/data/app/absent", None).await.unwrap().0, 429);
    assert_eq!(pod.call("GET", "auth/token/lookup-self", None).await.unwrap().0, 200);
    assert_eq!(
        (front.count("absent"), front.count("lookup-self")),
        (2, 1),
        "what it answers itself is not passed on"
    );
}
