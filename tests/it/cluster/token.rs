use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::error::{Reason, Retry};
use latchkey::model::Address;
use latchkey::net::{self, Names};
use serde_json::{Value, json};

use super::api::{ApiServer, reply, status};
use super::{UID, ask, client, here, over};
use crate::support::issuer::unsigned;
use crate::testkit::{Manner, Reply, closed_port, held};

#[tokio::test]
async fn a_token_is_asked_for_with_the_pod_its_uid_the_audience_and_900_seconds() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let token = ask(&here(&api, clock), clock).await.unwrap();
    assert_eq!(token.raw.expose(), api.state().issued[0].as_bytes());
    assert_eq!(token.claims.id.as_deref(), Some("issued-0"));
    let log = api.kit.take_log();
    let [asked] = &log[..] else { panic!("{log:?}") };
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/api/v1/namespaces/shop/serviceaccounts/web/token"));
    assert_eq!(asked.header("authorization"), Some("Bearer agents-own-token-1"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let wanted = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": ["vault"], "expirationSeconds": 900,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": UID },
        },
    });
    assert_eq!(asked.json(), wanted);
}

#[tokio::test]
async fn the_agents_own_token_is_read_again_each_time() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let cluster = here(&api, clock);
    ask(&cluster, clock).await.unwrap();
    api.state().bearer = "agents-own-token-2".to_owned();
    assert_eq!(ask(&cluster, clock).await.err().unwrap().problem.reason, Reason::Setup);
    std::fs::write(api.credentials().join("token"), "agents-own-token-2").unwrap();
    ask(&cluster, clock).await.unwrap();
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_with_what_to_do() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let cluster = here(&api, clock);
    let no = "serviceaccounts \"web\" is forbidden: User \"system:serviceaccount:kube-system:latchkey\" cannot create";
    let after = Retry::After(Duration::from_secs(7));
    let throttled = status(429, "too many requests").header("retry-after", "7");
    for (answer, reason, retry, told) in [
        (status(401, "Unauthorized"), Reason::Setup, Retry::Never, "does not believe the agent's own token"),
        (
            status(403, no),
            Reason::Setup,
            Retry::Never,
            "cannot create; apply `daemonset/rbac-tokenrequest.yaml`",
        ),
        (status(404, "pods \"web-0\" not found"), Reason::Setup, Retry::Never, "pods \"web-0\" not found"),
        (status(409, "the UID does not match"), Reason::Setup, Retry::Never, "knows no such pod"),
        (
            status(422, "spec.audiences: bad"),
            Reason::Upstream,
            Retry::Never,
            "answered 422: spec.audiences: bad",
        ),
        (throttled, Reason::Throttled, after, "asked too much"),
        (status(500, "etcd is away"), Reason::Upstream, Retry::Backoff, "answered 500: etcd is away"),
        (Reply::text(503, "<html>"), Reason::Upstream, Retry::Backoff, "answered 503; look"),
        (Reply::redirect(302, "https://elsewhere.test/"), Reason::Upstream, Retry::Never, "answered 302"),
        (
            Reply::json(201, &json!({ "status": {} })),
            Reason::Upstream,
            Retry::Never,
            "the reply has no token",
        ),
        (Reply::text(200, "hello"), Reason::Upstream, Retry::Never, "the reply has no token"),
    ] {
        api.kit.script("/api", answer.clone());
        let fault = ask(&cluster, clock).await.err().unwrap();
        let text = fault.problem.to_string();
        assert_eq!((fault.problem.reason, fault.retry), (reason, retry), "{text}");
        assert!(text.contains(told), "{text}\nlacks {told}");
        assert!(text.contains("service account `shop/web` for audience `vault`"), "{text}");
        assert!(text.contains(&api.kit.address().site()) && !text.contains("agents-own"), "{text}");
    }
    assert_eq!(api.kit.unasked(), 0);
}

#[tokio::test]
async fn a_token_of_somebody_else_is_not_taken() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let cluster = here(&api, clock);
    let now = clock.wall().seconds();
    let claims = |aud: &str, namespace: &str, account: &str, uid: &str| {
        json!({
            "iss": "https://issuer.test", "aud": [aud], "exp": now + 900,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "kubernetes.io": {
                "namespace": namespace, "serviceaccount": { "name": account }, "pod": { "name": "web-0", "uid": uid },
            },
        })
    };
    let answer = |claims: &Value| Reply::json(201, &reply(&unsigned(claims), now + 900));
    api.kit.script("/api", answer(&claims("vault", "shop", "web", UID)));
    ask(&cluster, clock).await.expect("the one that was asked for");
    for (claims, told) in [
        (claims("other", "shop", "web", UID), "an audience that it does not name"),
        (claims("vault", "lab", "web", UID), "namespace `lab`"),
        (claims("vault", "shop", "db", UID), "service account `db`"),
        (claims("vault", "shop", "web", "another"), "pod uid `another`"),
    ] {
        api.kit.script("/api", answer(&claims));
        let fault = ask(&cluster, clock).await.err().unwrap();
        let text = fault.problem.to_string();
        assert_eq!(fault.problem.reason, Reason::Upstream, "{text}");
        assert!(text.contains(told) && !text.contains(&unsigned(&claims)), "{text}\nlacks {told}");
    }
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_costs_bounded_time() {
    let api = ApiServer::start();
    let held = held().beside(&api.kit);
    let cluster = here(&api, held.clock);
    api.kit.script("/api", Manner::Hang.into());
    let (outcome, took) = held.drive(Duration::from_secs(60), ask(&cluster, held.clock)).await;
    let fault = outcome.expect("it ends").err().unwrap();
    assert_eq!(fault.problem.reason, Reason::Timeout, "{}", fault.problem);
    assert!(took <= Duration::from_secs(11), "{took:?}");
    let nobody = Address::parse(&format!("https://{}", closed_port())).unwrap();
    let (outcome, _) =
        held.drive(Duration::from_secs(60), ask(&client(&api, held.clock, Some(nobody)), held.clock)).await;
    let fault = outcome.expect("it ends").err().unwrap();
    assert_eq!((fault.problem.reason, fault.retry), (Reason::Unreachable, Retry::Backoff));
    assert!(fault.problem.remedy.contains("reach the API server"), "{}", fault.problem);
}

#[tokio::test]
async fn outside_a_cluster_and_without_a_service_account_it_says_so() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let fault = ask(&client(&api, clock, None), clock).await.err().unwrap();
    assert_eq!(fault.problem.reason, Reason::Setup);
    assert!(fault.problem.to_string().contains("`KUBERNETES_SERVICE_HOST` is not set"), "{}", fault.problem);
    std::fs::remove_file(api.credentials().join("token")).unwrap();
    let fault = ask(&here(&api, clock), clock).await.err().unwrap();
    let text = fault.problem.to_string();
    assert!(text.contains("service account cannot be read") && text.contains("docs/CLUSTER.md"), "{text}");
    assert_eq!((fault.problem.reason, api.kit.requests()), (Reason::Setup, 0));
}

#[tokio::test]
async fn no_proxy_is_shown_the_agents_own_token() {
    let (api, clock) = (ApiServer::start(), Clock::system());
    let proxy = Some(format!("http://{}", closed_port()));
    let names = Names::of(|_| Ok(vec!["127.0.0.1".parse().unwrap()]));
    let net = net::Config { https_proxy: proxy.clone(), http_proxy: proxy, names, ..net::Config::default() };
    ask(&over(&api, clock, Some(api.kit.at("api.kit.test")), net), clock)
        .await
        .expect("it goes straight there");
}
