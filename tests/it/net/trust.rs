//! Certificates and the files of those who sign them.

use std::fs;
use std::time::Duration;

use latchkey::error::{Reason, Retry};
use latchkey::model::{Endpoint, Origin, Tls};
use latchkey::net::Config;

use super::{is, now, stack};
use crate::testkit::{Identity, Reply, Testkit, held};

#[tokio::test]
async fn a_certificate_that_is_not_as_it_should_be_ends_it_before_a_byte_is_sent() {
    for (identity, text) in [
        (Identity::Untrusted, "of an authority that is not trusted; set `ca`"),
        (Identity::WrongName, "for another name"),
        (Identity::Expired, "not valid now"),
    ] {
        let kit = Testkit::start_as(identity);
        let stack = now(Config::default());
        let endpoint = kit.endpoint(Origin::Administrator);
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
        assert!(told.contains(text), "{identity:?}: {told}");
        assert_eq!((kit.requests(), stack.counted("tls")), (0, 1));
        kit.script("/", Reply::text(200, "x"));
        let blind = Endpoint { tls: Tls { skip_verify: true, ..endpoint.tls.clone() }, ..endpoint.clone() };
        stack.get(&blind, "/v1/a").await.expect("whoever says so believes any certificate");
        is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    }
}

#[tokio::test]
async fn only_the_authorities_of_the_file_count() {
    let (kit, other) = (Testkit::start(), Testkit::start());
    let stack = now(Config { ca: Some(kit.ca()), ..Config::default() });
    kit.route("*", |_| Reply::text(200, "x"));
    let mut endpoint = kit.endpoint(Origin::Administrator);
    endpoint.tls.ca = None;
    stack.get(&endpoint, "/v1/a").await.expect("the administrator's file stands for the system's");
    endpoint.tls.ca = Some(other.ca());
    is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    let foreign = Endpoint { tls: Tls::default(), ..other.endpoint(Origin::Administrator) };
    is(stack.get(&foreign, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
}

#[tokio::test]
async fn a_file_that_is_no_file_of_authorities_fails_with_its_name_and_what_is_wrong() {
    let kit = Testkit::start();
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    let whole = fs::read_to_string(kit.ca()).unwrap();
    for (content, text) in [
        (String::new(), "has no certificate"),
        ("hello".to_owned(), "has no certificate"),
        (whole.replace("-----END", "----"), "is not PEM"),
        (whole.replace("MII", "AAA"), "cannot be read"),
        ("x".repeat(2 << 20), "is not a file of authorities"),
    ] {
        fs::write(kit.ca(), content).unwrap();
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Setup, Retry::Never, false);
        assert!(told.contains(text) && told.contains("ca.pem"), "{text}: {told}");
    }
    fs::remove_file(kit.ca()).unwrap();
    let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Setup, Retry::Never, false);
    assert!(told.contains("cannot be read: entity not found"), "{told}");
    fs::write(kit.ca(), whole).unwrap();
    kit.script("/", Reply::text(200, "x"));
    stack.get(&endpoint, "/v1/a").await.expect("it is looked at again at once");
    assert_eq!(kit.connections(), 1);
}

#[tokio::test]
async fn f_19_authorities_are_replaced_without_a_failed_request() {
    let (old, new) = (Testkit::start(), Testkit::start());
    for kit in [&old, &new] {
        kit.route("*", |_| Reply::text(200, "x").header("connection", "close"));
    }
    let [old_pem, new_pem] = [&old, &new].map(|kit| fs::read_to_string(kit.ca()).unwrap());
    let file = old.ca();
    let held = held();
    let stack = stack(held.clock, Config::default());
    let [at_old, at_new] = [&old, &new].map(|kit| {
        let tls = Tls { ca: Some(file.clone()), skip_verify: false };
        Endpoint { tls, ..kit.endpoint(Origin::Administrator) }
    });
    let replace = |text: &str| {
        let next = file.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &file).unwrap();
    };
    stack.get(&at_old, "/v1/a").await.unwrap();
    is(stack.get(&at_new, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    replace(&format!("{old_pem}{new_pem}"));
    for _ in 0..10 {
        stack.get(&at_old, "/v1/a").await.expect("the old authority stays good");
        held.elapse(Duration::from_secs(1)).await;
    }
    stack.get(&at_new, "/v1/a").await.expect("the new one is good 10 s later");
    replace(&new_pem);
    for _ in 0..10 {
        stack.get(&at_new, "/v1/a").await.expect("the new one stays good");
        held.elapse(Duration::from_secs(1)).await;
    }
    is(stack.get(&at_old, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    replace("garbage");
    held.elapse(Duration::from_secs(11)).await;
    stack.get(&at_new, "/v1/a").await.expect("a file that turned bad changes nothing");
    fs::remove_file(&file).unwrap();
    held.elapse(Duration::from_secs(11)).await;
    stack.get(&at_new, "/v1/a").await.expect("nor does one that is gone");
    replace(&old_pem);
    held.elapse(Duration::from_secs(11)).await;
    stack.get(&at_old, "/v1/a").await.expect("a file that is good again counts again");
}
