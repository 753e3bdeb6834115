//! Scenarios 8, 9, 10 and 12: who a pod is to the server.

use latchkey::clock::Wall;
use latchkey::driver::PodToken;
use serde_json::json;

use super::super::bed::{JWT, NAMESPACE};
use super::super::node::{Counted, holding};
use super::{CUSTOM, Class, SOCKETS, furnished, text};
use crate::support::issuer::now;

const USER: &str = "- { objectName: user, secretPath: secret/data/shop/till, secretKey: user }\n";

#[tokio::test]
async fn s_08_another_account_is_refused_in_the_servers_words_which_the_pods_event_shows() {
    furnished().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let pod = holding("shop-db", 8).await;
        let (code, event) = Class::new(provider, "shop-kv", USER).refused(&node, &pod).await;
        let first = event.lines().next().unwrap();
        assert_eq!(code, "Unauthenticated", "{event}");
        assert!(first.contains("service account name not authorized"), "{event}");
        assert!(first.contains("web/shop-db") && first.contains("role `shop-kv`"), "{event}");
        assert!(!event.contains(&pod.tokens["vault"].token), "{event}");
        assert_eq!(node.front.count("secret/"), 0, "nothing is read: {:?}", node.front.counts());
    }
}

#[tokio::test]
async fn s_09_login_and_read_are_those_of_the_namespace_that_the_class_names() {
    let bed = furnished().await;
    for (admin, value) in [(bed.admin.clone(), "outside"), (bed.admin.within(NAMESPACE), "inside")] {
        let fields = json!({ "where": value });
        admin.write("secret/data/app/place", json!({ "data": fields })).await;
    }
    let objects = "- { objectName: where, secretPath: secret/data/app/place, secretKey: where }\n";
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let pod = holding("app", 9).await;
        let plain = Class::new(provider, "app", objects);
        assert_eq!(text(&plain.files(&node, &pod).await["where"]), "outside", "{provider}");
        let within = Class::new(provider, "app", objects).with("Namespace", NAMESPACE);
        assert_eq!(text(&within.files(&node, &pod).await["where"]), "inside", "{provider}");
        assert_eq!(node.front.count("login"), 2, "{provider}: a session of the one is none of the other");
    }
}

/// The driver brings no token of this audience: the text says who has to ask for one, and how.
#[tokio::test]
async fn s_10_an_audience_of_ones_own_works_where_the_driver_brings_it_and_is_told_where_it_does_not() {
    let bed = furnished().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let class = Class::new(provider, "shop-custom", USER).audience(CUSTOM);
        let mut pod = holding("shop-kv", 10).await;
        let (code, event) = class.refused(&node, &pod).await;
        assert_eq!(code, "FailedPrecondition", "{event}");
        assert!(event.contains(&format!("`- audience: {CUSTOM}` to `tokenRequests`")), "{event}");
        assert!(event.contains("it has vault"), "{event}");
        assert!(node.front.counts().is_empty(), "nobody is asked: {:?}", node.front.counts());

        let mut claims = bed.cluster.claims("shop-kv");
        claims["aud"] = json!([CUSTOM]);
        claims["kubernetes.io"]["pod"] = json!({ "name": pod.name, "uid": pod.uid });
        let token = bed.cluster.sign(&claims);
        pod.tokens.insert(CUSTOM.to_owned(), PodToken { token, expires: Wall::from_seconds(now() + 3600) });
        assert_eq!(text(&class.files(&node, &pod).await["user"]), "clerk", "{provider}");
    }
}

#[tokio::test]
async fn s_12_pods_log_in_at_a_jwt_mount() {
    furnished().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let class = Class::new(provider, "shop-kv", USER).with("AuthMountPath", JWT);
        assert_eq!(text(&class.files(&node, &holding("shop-kv", 12).await).await["user"]), "clerk");
        assert_eq!(node.front.count("POST auth/jwt/login"), 1, "{:?}", node.front.counts());
        let (code, event) = class.refused(&node, &holding("shop-db", 12).await).await;
        assert_eq!(code, "Unauthenticated", "{event}");
        assert!(event.contains("invalid subject (sub) claim"), "{event}");
    }
}
