//! Proxies: who goes through one, and what of theirs goes wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use latchkey::error::{Reason, Retry};
use latchkey::model::Origin;
use latchkey::net::{Config, Names, Net};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{CANARY, administrators, is, now};
use crate::testkit::{Identity, Reply, Testkit, closed_port};

/// A proxy that connects everybody to one place, or refuses with this status; and what it was asked.
async fn proxy(to: SocketAddr, refusal: Option<u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:{CANARY}@{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && client.read_buf(&mut head).await.unwrap() > 0 {}
                let text = String::from_utf8_lossy(&head).into_owned();
                let tunnel = text.starts_with("CONNECT");
                noted.lock().unwrap().push(text);
                if let Some(status) = refusal {
                    let _ = client.write_all(format!("HTTP/1.1 {status} No\r\n\r\n").as_bytes()).await;
                    return;
                }
                let mut server = TcpStream::connect(to).await.unwrap();
                if tunnel {
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                } else {
                    server.write_all(&head).await.unwrap();
                }
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn both_schemes_go_through_their_proxy_which_alone_knows_the_name() {
    let (kit, plain) = (Testkit::start(), Testkit::start_as(Identity::Plain));
    for kit in [&kit, &plain] {
        kit.route("*", |_| Reply::text(200, "x"));
    }
    let (secure_url, secure) = proxy(kit.listener(), None).await;
    let (plain_url, unsecured) = proxy(plain.listener(), None).await;
    let names = Names::of(|name| panic!("{name} is the proxy's to resolve"));
    let stack = now(Config {
        https_proxy: Some(secure_url),
        http_proxy: Some(plain_url),
        names,
        ..Config::default()
    });
    for origin in [Origin::Administrator, Origin::Tenant] {
        stack.get(&kit.endpoint_at("a.kit.test", origin), "/v1/a").await.unwrap();
        stack.get(&plain.endpoint_at("b.kit.test", origin), "/v1/b").await.unwrap();
    }
    let (secure, unsecured) = (secure.lock().unwrap(), unsecured.lock().unwrap());
    assert!(secure[0].starts_with("CONNECT a.kit.test:"), "{}", secure[0]);
    assert!(secure[0].to_lowercase().contains("proxy-authorization: basic"), "{}", secure[0]);
    assert!(unsecured[0].starts_with("GET http://b.kit.test:"), "{}", unsecured[0]);
    assert_eq!((secure.len(), kit.take_log()[0].header("proxy-authorization")), (1, None));
}

#[tokio::test]
async fn no_proxy_is_used_where_the_administrator_says_so_and_never_for_this_machine_and_the_cluster() {
    let kit = Testkit::start_as(Identity::Plain);
    kit.route("*", |_| Reply::text(200, "direct"));
    let (url, asked) = proxy(kit.listener(), None).await;
    let config = |no_proxy: &str| Config {
        http_proxy: Some(url.clone()),
        no_proxy: Some(no_proxy.to_owned()),
        ..super::loopback()
    };
    let port = kit.listener().port();
    for (no_proxy, host, direct) in [
        ("", "a.kit.test", false),
        ("", "127.0.0.1", true),
        ("", "localhost", true),
        ("", "vault.vault.svc", true),
        ("", "vault.vault.svc.cluster.local", true),
        ("", "svc.example.com", false),
        ("", "xsvc", false),
        ("kit.test", "a.kit.test", true),
        (".kit.test", "a.kit.test", true),
        ("*.kit.test", "a.kit.test", true),
        ("x, KIT.test", "a.kit.test", true),
        ("it.test", "a.kit.test", false),
        ("a.kit.test.evil", "a.kit.test", false),
        ("*", "a.kit.test", true),
        ("kit.test:1", "a.kit.test", false),
    ] {
        asked.lock().unwrap().clear();
        now(config(no_proxy)).get(&kit.endpoint_at(host, Origin::Administrator), "/v1/a").await.unwrap();
        assert_eq!(asked.lock().unwrap().is_empty(), direct, "{no_proxy:?} {host}");
    }
    let host = kit.endpoint_at("a.kit.test", Origin::Administrator);
    asked.lock().unwrap().clear();
    now(config(&format!("kit.test:{port}"))).get(&host, "/v1/a").await.unwrap();
    assert!(asked.lock().unwrap().is_empty(), "the port fits");
    for (no_proxy, direct) in
        [("192.0.2.0/24", true), ("192.0.2.7", true), ("192.0.3.0/24", false), ("0.0.0.0/0", true)]
    {
        asked.lock().unwrap().clear();
        let limits =
            latchkey::net::Limits { connect: std::time::Duration::from_millis(50), ..Default::default() };
        let stack = now(Config { limits, ..config(no_proxy) });
        let reached = stack.get(&administrators("http://192.0.2.7"), "/v1/a").await.is_ok();
        assert_eq!((reached, asked.lock().unwrap().is_empty()), (!direct, direct), "{no_proxy}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named_as_the_culprit() {
    let kit = Testkit::start();
    for status in [403, 407, 502] {
        let (url, _) = proxy(kit.listener(), Some(status)).await;
        let stack = now(Config { https_proxy: Some(url), ..Config::default() });
        let endpoint = kit.endpoint_at("a.kit.test", Origin::Administrator);
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, false);
        assert!(told.contains("the proxy does not connect to it"), "{status}: {told}");
        assert_eq!(stack.counted("proxy"), 1);
    }
    let gone = format!("http://{}", closed_port());
    let unknown = Names::of(|_| Ok(Vec::new()));
    for (url, names, text) in [
        (gone, Names::default(), "the connection is refused"),
        ("http://proxy.corp:3128".to_owned(), unknown, "its name does not resolve (DNS)"),
    ] {
        let stack = now(Config { https_proxy: Some(url), names, ..Config::default() });
        let endpoint = kit.endpoint_at("a.kit.test", Origin::Tenant);
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, false);
        assert!(told.contains("proxy on the way cannot be used") && told.contains(text), "{told}");
    }
    assert_eq!(kit.connections(), 0);
}

#[tokio::test]
async fn a_proxys_url_that_is_none_fails_at_the_start_without_its_password() {
    let clock = latchkey::clock::Clock::system();
    for url in ["socks5://user:canary@h:1", "http://user:canary@", "http://h:canary", "ftp://h"] {
        let config = Config { https_proxy: Some(url.to_owned()), ..Config::default() };
        let metrics = latchkey::telemetry::Metrics::new("1", false, clock);
        let problem = Net::new(config, clock, metrics).err().unwrap_or_else(|| panic!("{url}"));
        let text = problem.to_string();
        assert!(
            problem.reason == Reason::Setup && text.contains("HTTPS_PROXY") && !text.contains("canary"),
            "{text}"
        );
    }
}
