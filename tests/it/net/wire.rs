//! What goes over the wire when nothing goes wrong.

use std::sync::Arc;
use std::time::Duration;

use latchkey::error::{Reason, Retry};
use latchkey::model::{Address, Endpoint, Origin, Tls};
use latchkey::net::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{CANARY, administrators, is, now};
use crate::testkit::{Manner, Reply, Testkit};

#[tokio::test]
async fn a_request_goes_out_as_it_was_given_and_its_answer_comes_back_whole() {
    let kit = Testkit::start();
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    kit.script("/v1/x", Reply::json(200, &json!({"data": {"a": 1}})).header("x-two", "2"));
    let reply = stack.within(&endpoint, Duration::from_secs(9)).await.unwrap();
    assert_eq!((reply.status, reply.body.expose()), (200, &br#"{"data":{"a":1}}"#[..]));
    assert_eq!(reply.headers.get("x-two").unwrap(), "2");
    let log = kit.take_log();
    let [asked] = &log[..] else { panic!("one request: {log:?}") };
    assert_eq!((&*asked.method, &*asked.path, asked.json()), ("POST", "/v1/x", json!({"jwt": CANARY})));
    assert_eq!(asked.header("x-vault-token"), Some(CANARY));
    assert_eq!(asked.header("user-agent"), Some(concat!("latchkey/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        (asked.header("cookie"), asked.header("referer"), asked.header("accept-encoding")),
        (None, None, None)
    );
    assert_eq!(stack.counted("2xx"), 1);
}

#[tokio::test]
async fn every_status_is_an_answer_and_is_counted_by_its_class_or_itself() {
    let kit = Testkit::start();
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    for (status, code) in [
        (200, "2xx"),
        (204, "2xx"),
        (307, "3xx"),
        (400, "4xx"),
        (401, "4xx"),
        (403, "403"),
        (404, "404"),
        (429, "429"),
        (473, "4xx"),
        (500, "5xx"),
        (503, "503"),
    ] {
        let before = stack.counted(code);
        kit.script("/", Reply::new(status, if status == 204 { "" } else { "{}" }));
        let reply = stack.get(&endpoint, "/v1/y").await.unwrap();
        assert_eq!((reply.status, reply.body.len()), (status, if status == 204 { 0 } else { 2 }));
        assert_eq!(stack.counted(code), before + 1, "{status}");
    }
    assert_eq!(
        kit.connections(),
        1,
        "each answer was read to its end, so its connection served the next request"
    );
}

#[tokio::test]
async fn f_21_no_redirect_is_followed_and_nobody_else_sees_the_token() {
    let (kit, other) = (Testkit::start(), Testkit::start());
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    let own = format!("{}/v1/again", kit.address());
    for (status, to) in
        [(307, other.address().to_string()), (301, "http://127.0.0.1/".to_owned()), (302, own)]
    {
        kit.script("/", Reply::redirect(status, &to));
        let reply = stack.within(&endpoint, Duration::from_secs(9)).await.unwrap();
        assert_eq!(
            (reply.status, reply.headers.get("location").unwrap().to_str().unwrap()),
            (status, to.as_str())
        );
    }
    assert_eq!((kit.requests(), other.connections()), (3, 0));
}

#[tokio::test]
async fn connections_are_shared_by_equal_settings_and_by_no_others() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = Arc::new(now(Config::default()));
    let endpoint = kit.endpoint(Origin::Administrator);
    for _ in 0..5 {
        stack.get(&endpoint, "/v1/a").await.unwrap();
    }
    assert_eq!(kit.connections(), 1);
    let mut based = endpoint.clone();
    based.address = Address::parse(&format!("{}/base", kit.address())).unwrap();
    stack.get(&based, "/v1/a").await.unwrap();
    assert_eq!(
        (kit.connections(), &*kit.take_log()[5].path),
        (1, "/base/v1/a"),
        "a base path is no other server"
    );
    let blind = Endpoint { tls: Tls { skip_verify: true, ..endpoint.tls.clone() }, ..endpoint.clone() };
    stack.get(&blind, "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 2, "other TLS settings, another connection");
    let tenants = Endpoint { origin: Origin::Tenant, ..endpoint.clone() };
    stack.get(&tenants, "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 3, "what was judged never shares with what was not");
    stack.get(&endpoint, "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 3);
    kit.delay(Duration::from_millis(100));
    let many: Vec<_> = (0..8)
        .map(|_| {
            let (stack, endpoint) = (Arc::clone(&stack), endpoint.clone());
            tokio::spawn(async move { stack.get(&endpoint, "/v1/a").await.map(drop) })
        })
        .collect();
    for one in many {
        one.await.unwrap().unwrap();
    }
    assert_eq!(kit.connections(), 3 + 7, "requests at once do not wait for each other");
}

#[tokio::test]
async fn the_pool_that_was_used_longest_ago_makes_room_for_another() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(super::loopback());
    for index in 0..64 {
        stack
            .get(&kit.endpoint_at(&format!("n{index}.kit.test"), Origin::Administrator), "/v1/a")
            .await
            .unwrap();
    }
    assert_eq!(kit.connections(), 64);
    let first = kit.endpoint_at("n0.kit.test", Origin::Administrator);
    stack.get(&first, "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 64, "all are kept");
    stack.get(&kit.endpoint_at("n64.kit.test", Origin::Administrator), "/v1/a").await.unwrap();
    stack.get(&first, "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 65, "the first one was used lately");
    stack.get(&kit.endpoint_at("n1.kit.test", Origin::Administrator), "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 66, "the second one was not");
}

#[tokio::test]
async fn a_path_goes_out_as_it_was_judged_or_not_at_all() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    for path in ["/v1/a%2Fb?version=2&x=%20", "/v1/a//b", "/v1/%E4%B8%AD", "/v1/a;b=c", "/v1/a:b@c"] {
        stack.get(&endpoint, path).await.unwrap();
        assert_eq!(kit.take_log()[0].path, path);
    }
    for path in [
        "/v1/a/../sys/seal",
        "/v1/a/..",
        "/v1/%2e%2e/sys",
        "/v1/./a",
        "/v1/a b",
        "/v1/\u{4e2d}",
        "/v1/a#b",
        "/v1/a\\b",
        "/v1/a\n",
        "v1/a",
        "",
        "@evil.test/",
        ":99/",
        "/v1/a\tb",
    ] {
        is(stack.get(&endpoint, path).await, Reason::Bug, Retry::Never, false);
    }
    assert_eq!(kit.requests(), 5);
}

#[tokio::test]
async fn a_body_comes_whole_however_it_is_cut() {
    let kit = Testkit::start();
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    let body: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    for manner in [Manner::Whole, Manner::Chunked(7_919), Manner::Chunked(300_000)] {
        kit.script("/", Reply::new(200, body.clone()).manner(manner));
        assert_eq!(stack.get(&endpoint, "/v1/a").await.unwrap().body.expose(), body);
    }
}

#[tokio::test]
async fn an_administrators_socket_is_spoken_to_and_a_tenants_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        (listener, String::from_utf8_lossy(&head[..read]).into_owned())
    });
    let stack = now(Config { http_proxy: Some("http://127.0.0.1:1".to_owned()), ..Config::default() });
    let endpoint = administrators(&format!("unix://{}", path.display()));
    let tenants = Endpoint { origin: Origin::Tenant, ..endpoint.clone() };
    let text = is(stack.get(&tenants, "/v1/a").await, Reason::Policy, Retry::Never, false);
    assert!(text.contains("socket of this node"), "{text}");
    assert_eq!(stack.get(&endpoint, "/v1/a").await.unwrap().body.expose(), b"hi");
    let (_, asked) = served.await.unwrap();
    assert!(asked.starts_with("GET /v1/a HTTP/1.1\r\n") && asked.contains("host: localhost"), "{asked}");
    let gone = administrators("unix:///nonexistent/agent.sock");
    is(stack.get(&gone, "/v1/a").await, Reason::Unreachable, Retry::Backoff, false);
}
