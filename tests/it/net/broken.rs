//! Connections and answers that break: each is a fault with the right words, and none is a shorter answer.

use std::io;
use std::time::Duration;

use latchkey::error::{Reason, Retry};
use latchkey::model::{Address, Endpoint, Origin, Tls};
use latchkey::net::{Config, Names};

use super::{CANARY, administrators, is, loopback, now};
use crate::testkit::{Identity, Manner, Reply, Testkit, closed_port};

#[tokio::test]
async fn f_09_an_answer_that_breaks_off_is_never_taken_for_a_shorter_one() {
    for identity in [Identity::Good, Identity::Plain] {
        let kit = Testkit::start_as(identity);
        let stack = now(Config::default());
        let endpoint = kit.endpoint(Origin::Administrator);
        for (manner, text) in [
            (Manner::Truncated(0), "broke its answer off"),
            (Manner::Truncated(999), "broke its answer off"),
            (Manner::Reset(500), "broke its answer off"),
            (Manner::Close, "without an answer"),
            (Manner::ResetAtOnce, "without an answer"),
        ] {
            kit.script("/", manner.clone().into());
            let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, true);
            assert!(told.contains(text) && told.contains(&kit.address().site()), "{manner:?}: {told}");
        }
        assert_eq!((kit.requests(), stack.counted("reset")), (5, 5), "{identity:?}: one attempt each");
        kit.script("/", Reply::text(200, "x"));
        assert!(stack.get(&endpoint, "/v1/a").await.is_ok(), "a new connection is made");
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_costs_no_request() {
    let kit = Testkit::start_as(Identity::Plain);
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    for _ in 0..10 {
        // The whole answer, and then the end of the connection, which the client has not asked for.
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
        kit.script("/", Reply::new(200, answer).manner(Manner::Raw));
        stack.get(&endpoint, "/v1/a").await.unwrap();
        // Until it has heard of the end; a request that crosses it on the way is lost, and doubtful.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((kit.requests(), kit.connections()), (10, 10));
}

#[tokio::test]
async fn f_13_what_is_no_http_or_no_tls_is_told_apart() {
    let (kit, plain) = (Testkit::start(), Testkit::start_as(Identity::Plain));
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    for garbage in ["SSH-2.0-OpenSSH\r\n\r\n", "<html>login</html>\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n"] {
        kit.script("/", Reply::new(0, format!("{garbage}{CANARY}")).manner(Manner::Raw));
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Upstream, Retry::Backoff, true);
        assert!(told.contains("no HTTP"), "{told}");
    }
    let mut secure = plain.endpoint(Origin::Administrator);
    secure.address = Address::parse(&format!("https://{}", plain.listener())).unwrap();
    let told = is(stack.get(&secure, "/v1/a").await, Reason::Upstream, Retry::Backoff, false);
    assert!(told.contains("does not speak TLS") && told.contains("`http://`"), "{told}");
    kit.script("/", Reply::text(200, "<html>login</html>"));
    assert_eq!(stack.get(&endpoint, "/v1/a").await.unwrap().status, 200, "bodies are the store's to judge");
    assert_eq!((stack.counted("garbage"), stack.counted("tls")), (3, 1));
}

#[tokio::test]
async fn nothing_that_failed_before_it_was_sent_is_doubtful() {
    let stack = now(Config::default());
    for scheme in ["http", "https"] {
        let mut endpoint = administrators(&format!("{scheme}://{}", closed_port()));
        endpoint.tls = Tls { skip_verify: true, ..Tls::default() };
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, false);
        assert!(
            told.contains("the connection is refused") && told.contains(&endpoint.address.site()),
            "{told}"
        );
    }
    assert_eq!(stack.counted("connect"), 2);
}

#[tokio::test]
async fn f_23_a_name_without_address_is_told_as_dns() {
    for answer in [|_: &str| Err(io::Error::other(CANARY)), |_: &str| Ok(Vec::new())] {
        let stack = now(Config { names: Names::of(answer), ..Config::default() });
        let endpoint = administrators("http://vault.corp:8200");
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, false);
        assert!(told.contains("`vault.corp` does not resolve (DNS)"), "{told}");
        assert_eq!(stack.counted("dns"), 1);
    }
}

#[tokio::test]
async fn f_23_each_new_connection_asks_for_the_name_again() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x").header("connection", "close"));
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&asked);
    let names = Names::of(move |name| {
        noted.lock().unwrap().push(name.to_owned());
        // The first address is dead; the second answers.
        Ok(vec!["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()])
    });
    let stack = now(Config { names, ..Config::default() });
    let endpoint = kit.endpoint_at("a.kit.test", Origin::Administrator);
    for _ in 0..3 {
        stack.get(&endpoint, "/v1/a").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((asked.lock().unwrap().len(), kit.connections()), (3, 3));
    assert_eq!(kit.take_log()[0].host, "a.kit.test");
}

#[tokio::test]
async fn the_same_failure_has_the_same_text_each_time() {
    let kit = Testkit::start();
    let stack = now(loopback());
    let endpoint: Endpoint = kit.endpoint(Origin::Administrator);
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..3 {
        kit.script("/", Manner::Truncated(7).into());
        texts.insert(is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, true));
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}
