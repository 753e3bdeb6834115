//! Answers that came whole and are of no use.

use latchkey::error::Reason::{Login, Setup, Upstream};
use serde_json::json;

use super::bed::{Bed, CANARY};
use super::family::{Case, run};
use crate::testkit::{Identity, Reply, Testkit};

const FOREIGN: &str = "unexpected reply, is a proxy in the way?";
const NO_TOKEN: &str = "the login reply had no token";
const NO_DATA: &str = "the reply has no data";

fn of_no_use() -> Vec<Case> {
    let html = format!("<html>{CANARY}</html>");
    let wrapped = json!({ "wrap_info": { "token": format!("hvs.{CANARY}"), "ttl": 60 } });
    let cut = format!("{{\"auth\":{{\"client_token\":\"hvs.{CANARY}\"}},\"data\":{{\"k\":\"{CANARY}");
    let typed = json!({ "auth": [CANARY], "data": CANARY });
    vec![
        Case::once(
            "204",
            Reply::empty(),
            (Upstream, "the reply (204) is empty"),
            (Upstream, "the reply (204) is empty"),
        ),
        Case::once(
            "nothing",
            Reply::new(200, ""),
            (Upstream, "(200) is empty"),
            (Upstream, "(200) is empty"),
        ),
        Case::once("{}", Reply::json(200, &json!({})), (Upstream, NO_TOKEN), (Upstream, NO_DATA)),
        Case::once(
            "auth: null",
            Reply::json(200, &json!({ "auth": null })),
            (Upstream, NO_TOKEN),
            (Upstream, NO_DATA),
        ),
        Case::once("a list", Reply::json(200, &json!([CANARY])), (Upstream, FOREIGN), (Upstream, FOREIGN)),
        Case::once(
            "HTML",
            Reply::new(200, html.clone()).header("content-type", "text/html"),
            (Upstream, FOREIGN),
            (Upstream, FOREIGN),
        ),
        Case::once(
            "HTML that calls itself JSON",
            Reply::new(200, html).header("content-type", "application/json"),
            (Upstream, FOREIGN),
            (Upstream, FOREIGN),
        ),
        Case::once(
            "wrap_info only",
            Reply::json(200, &wrapped),
            (Login, "it was wrapped for someone else to fetch"),
            (Setup, "the server wrapped its reply"),
        ),
        Case::once(
            "warnings only",
            Reply::json(200, &json!({ "warnings": ["take care"] })),
            (Upstream, "had no token: take care"),
            (Upstream, "no data: take care"),
        ),
        Case::once("JSON that ends early", Reply::new(200, cut), (Upstream, FOREIGN), (Upstream, FOREIGN)),
        Case::once(
            "fields of other types",
            Reply::json(200, &typed),
            (Upstream, "is not of its type"),
            (Upstream, "is not of its type"),
        ),
        Case::once(
            "data: null",
            Reply::json(200, &json!({ "data": null })),
            (Upstream, NO_TOKEN),
            (Upstream, NO_DATA),
        ),
    ]
}

#[tokio::test]
async fn v_21_to_v_25_and_f_13_a_reply_of_no_use_is_one_pods_failure() {
    run(Testkit::start_as(Identity::Plain), &of_no_use()).await;
}

/// What a class wants of a value that it cannot have is the class's failure, and the value stays in.
#[tokio::test]
async fn v_17_and_v_19_a_value_is_the_json_of_what_it_is_and_one_that_is_no_hexadecimal_fails() {
    let bed = Bed::new(Testkit::start_as(Identity::Plain), &["a.kit.test".to_owned()]);
    let body = br#"{"data":{"k":{"b":1.50,"a":[true,null,"<"]},"n":1E5,"h":"4849CANARY"}}"#;
    bed.fault("a.kit.test", "kv/x", &Reply::new(200, &body[..]));
    let object =
        |key: &str, more: &str| format!("- {{ objectName: o, secretPath: kv/x, secretKey: {key}{more} }}\n");
    for (key, wanted) in [("k", r#"{"a":[true,null,"\u003c"],"b":1.50}"#), ("n", "1E5")] {
        assert_eq!(bed.mount_one(&bed.ask(1, "a.kit.test", &object(key, ""))).await.file(), wanted);
    }
    for encoding in ["hex", "base64"] {
        let more = format!(", encoding: {encoding}");
        let answer = bed.mount_one(&bed.ask(1, "a.kit.test", &object("h", &more))).await;
        let text = answer.refused().text();
        assert!(answer.refused().reason().is_refusal(), "{text}");
        assert!(text.contains("`o`") && !text.contains("4849") && !text.contains(CANARY), "{text}");
    }
    bed.is_well().await;
}
