//! One redirect, to the same origin, is followed as it is; no other, and no token goes anywhere else.

use latchkey::error::{Reason, Retry};
use latchkey::model::Address;

use super::{Bench, TOKEN, envelope, field, get, put};
use crate::testkit::{Identity, Reply, Testkit};

#[tokio::test]
async fn to_another_path_of_the_same_origin_it_is_followed_once() {
    let bench = Bench::start();
    let site = bench.access.endpoint.address.site();
    for status in [307, 308] {
        for to in [
            format!("{site}/v1/there/y?a=b"),
            "/v1/there/y?a=b".to_owned(),
            "/v1/x/../there/./y?a=b#f".to_owned(),
        ] {
            bench.kit.script("/v1/here", Reply::redirect(status, &to));
            bench.kit.script("/v1/there", Reply::new(200, envelope(r#"{"v":"x"}"#)));
            let material = bench.read(put("here/x?c=d", "{\"k\":1}")).await;
            let material = material.unwrap_or_else(|fault| panic!("{}", bench.told(&fault)));
            assert_eq!(field(&material, "v").as_deref(), Some("x"));
            let log = bench.kit.take_log();
            let paths: Vec<&str> = log.iter().map(|request| &*request.path).collect();
            assert_eq!(paths, ["/v1/here/x?c=d", "/v1/there/y?a=b"]);
            for request in &log {
                assert_eq!((&*request.method, &*request.body), ("PUT", &b"{\"k\":1}"[..]));
                assert_eq!(request.header("x-vault-token"), Some(TOKEN));
            }
        }
    }
    bench.kit.script("/v1/auth/kubernetes", Reply::redirect(307, "/v1/auth/other/login"));
    bench.kit.script("/v1/auth/other", Reply::new(200, r#"{"auth":{"client_token":"t"}}"#));
    bench.log_in().await.unwrap();
    let log = bench.kit.take_log();
    assert_eq!((log.len(), log[1].json(), &*log[1].method), (2, log[0].json(), "POST"));
}

#[tokio::test]
async fn below_an_address_with_a_path_it_stays_below_it() {
    let mut bench = Bench::start();
    let site = bench.access.endpoint.address.site();
    bench.access.endpoint.address = Address::parse(&format!("{site}/base")).unwrap();
    bench.kit.script("/base/v1/here", Reply::redirect(307, "/base/v1/there"));
    bench.kit.script("/base/v1/there", Reply::new(200, envelope(r#"{"v":"x"}"#)));
    assert!(bench.read(get("here")).await.is_ok());
    for to in ["/v1/there", "/bases/v1/there", "/base"] {
        bench.kit.script("/base/v1/here", Reply::redirect(307, to));
        let fault = bench.read(get("here")).await.err().unwrap();
        assert!(bench.told(&fault).contains("redirect refused"), "{to}");
    }
}

#[tokio::test]
async fn no_other_redirect_is_followed_and_the_token_stays_where_it_was() {
    let (bench, other) = (Bench::start(), Testkit::start_as(Identity::Plain));
    let site = bench.access.endpoint.address.site();
    let port = bench.kit.listener().port();
    let elsewhere = other.address().site();
    let remedy = "one 307 or 308 to the same host and port is followed: name the server that answers itself";
    for (status, to, named) in [
        (307, format!("{elsewhere}/v1/x"), format!(" to `{elsewhere}`")),
        (308, format!("{elsewhere}/v1/x"), format!(" to `{elsewhere}`")),
        (307, format!("https://127.0.0.1:{port}/v1/x"), format!(" to `https://127.0.0.1:{port}`")),
        (307, format!("http://localhost:{port}/v1/x"), format!(" to `http://localhost:{port}`")),
        (307, format!("//user:CANARY@{}/v1/x", other.listener()), String::new()),
        (307, "file:///etc/passwd".to_owned(), String::new()),
        (307, "http://[".to_owned(), String::new()),
        (307, "\u{e9}".to_owned(), String::new()),
        (301, format!("{site}/v1/x"), " to `SITE`".to_owned()),
        (302, format!("{site}/v1/x"), " to `SITE`".to_owned()),
        (303, format!("{site}/v1/x"), " to `SITE`".to_owned()),
        (300, "/v1/x".to_owned(), String::new()),
    ] {
        for login in [false, true] {
            bench.kit.script("/v1/", Reply::redirect(status, &to));
            let fault = if login {
                bench.log_in().await.err().unwrap()
            } else {
                bench.read(get("kv/x")).await.err().unwrap()
            };
            assert_eq!(
                (fault.problem.reason, fault.retry, fault.doubtful),
                (Reason::Upstream, Retry::Never, false)
            );
            let told = bench.told(&fault);
            assert!(
                told.starts_with(&format!("at SITE: redirect refused: it answered {status}{named}")),
                "{told}"
            );
            assert!(told.ends_with(remedy), "{told}");
        }
        bench.kit.take_log();
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_second_redirect_is_one_too_many() {
    let bench = Bench::start();
    bench.kit.route("*", |_| Reply::redirect(307, "/v1/again"));
    let fault = bench.read(get("kv/x")).await.err().unwrap();
    assert!(bench.told(&fault).contains("redirect refused: it answered 307;"), "{}", bench.told(&fault));
    assert_eq!(bench.kit.requests(), 2);
    bench.kit.route("*", |_| Reply::new(307, ""));
    assert!(bench.told(&bench.read(get("kv/x")).await.err().unwrap()).contains("redirect refused"));
    assert_eq!(bench.kit.requests(), 3);
}
