//! Certificates and the files of those who sign them.

use std::fs;
use std::time::Duration;

use latchkey::error::{Reason, Retry};
use latchkey::model::endpoint::{Ca, Client};
use latchkey::model::{Endpoint, Origin, Tls};
use latchkey::net::Config;

use super::{is, now, stack};
use crate::testkit::{Identity, Manner, Reply, Testkit, held};

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
    endpoint.tls.ca = Some(other.ca().into());
    is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    let foreign = Endpoint { tls: Tls::default(), ..other.endpoint(Origin::Administrator) };
    is(stack.get(&foreign, "/v1/a").await, Reason::Unreachable, Retry::Never, false);
}

#[tokio::test]
async fn a_machine_without_authorities_fails_only_whoever_needs_them() {
    let (kit, plain) = (Testkit::start(), Testkit::start_as(Identity::Plain));
    let nowhere = std::path::PathBuf::from("/nonexistent/ca.pem");
    let stack = now(Config { ca: Some(nowhere), ..Config::default() });
    for kit in [&kit, &plain] {
        kit.route("*", |_| Reply::text(200, "x"));
        stack.get(&kit.endpoint(Origin::Administrator), "/v1/a").await.unwrap();
    }
    let system = Endpoint { tls: Tls::default(), ..kit.endpoint(Origin::Administrator) };
    let told = is(stack.get(&system, "/v1/a").await, Reason::Setup, Retry::Never, false);
    assert!(told.contains("/nonexistent/ca.pem: the authorities cannot be read"), "{told}");
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
        let tls = Tls { ca: Some(file.clone().into()), ..Tls::default() };
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

#[tokio::test]
async fn every_file_of_a_folder_counts_and_must_be_one_of_authorities() {
    let (one, two) = (Testkit::start(), Testkit::start());
    for kit in [&one, &two] {
        kit.route("*", |_| Reply::text(200, "x").header("connection", "close"));
    }
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let [one_pem, two_pem] = [&one, &two].map(|kit| fs::read_to_string(kit.ca()).unwrap());
    // As a mounted Secret has it: the files are links into a folder that lies beside them.
    fs::create_dir(folder.path().join("..data")).unwrap();
    put("..data/one.pem", &one_pem);
    std::os::unix::fs::symlink("..data/one.pem", folder.path().join("one.pem")).unwrap();
    put("two.crt", &two_pem);
    let at = |kit: &Testkit| {
        let tls = Tls { ca: Some(folder.path().into()), ..Tls::default() };
        Endpoint { tls, ..kit.endpoint(Origin::Administrator) }
    };
    let stack = now(Config::default());
    for kit in [&one, &two] {
        stack.get(&at(kit), "/v1/a").await.unwrap();
    }
    put("zz.txt", "not a certificate");
    let fresh = now(Config::default());
    let told = is(fresh.get(&at(&one), "/v1/a").await, Reason::Setup, Retry::Never, false);
    assert!(told.contains("zz.txt: has no certificate"), "{told}");
    let empty = tempfile::tempdir().unwrap();
    let tls = Tls { ca: Some(empty.path().into()), ..Tls::default() };
    let told =
        is(fresh.get(&Endpoint { tls, ..at(&one) }, "/v1/a").await, Reason::Setup, Retry::Never, false);
    assert!(told.contains("has no files"), "{told}");
}

#[tokio::test]
async fn authorities_that_are_spelled_out_are_the_only_ones() {
    let (kit, other) = (Testkit::start(), Testkit::start());
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(Config { ca: Some(kit.ca()), ..Config::default() });
    let spelled = |pem: &str| {
        let tls = Tls { ca: Some(Ca::pem(pem).unwrap()), ..Tls::default() };
        Endpoint { tls, ..kit.endpoint(Origin::Tenant) }
    };
    let [own, foreign] = [&kit, &other].map(|kit| fs::read_to_string(kit.ca()).unwrap());
    stack.get(&spelled(&own), "/v1/a").await.unwrap();
    stack.get(&spelled(&format!("{foreign}{own}")), "/v1/a").await.unwrap();
    is(stack.get(&spelled(&foreign), "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    let told = is(
        stack.get(&spelled(&own.replace("MII", "AAA")), "/v1/a").await,
        Reason::Invalid,
        Retry::Never,
        false,
    );
    assert!(told.contains("the PEM of its authorities has a certificate that cannot be read"), "{told}");
    assert_eq!(kit.connections(), 3);
}

#[tokio::test]
async fn the_certificate_is_of_the_name_that_is_asked_for_and_the_host_stays_the_addresss() {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&asked);
    let names = latchkey::net::Names::of(move |name| {
        seen.lock().unwrap().push(name.to_owned());
        Ok(vec!["127.0.0.1".parse().unwrap()])
    });
    let kit = Testkit::start_as(Identity::WrongName);
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(Config { names, ..Config::default() });
    let named = |host: &str, name: &str| {
        let endpoint = kit.endpoint_at(host, Origin::Administrator);
        Endpoint { tls: Tls { name: Tls::name(name), ..endpoint.tls.clone() }, ..endpoint }
    };
    for host in ["127.0.0.1", "vault.corp"] {
        stack.get(&named(host, "elsewhere.test"), "/v1/a").await.unwrap();
        let log = kit.take_log();
        assert_eq!((log[0].host.as_str(), log[0].sni.as_deref()), (host, Some("elsewhere.test")));
        is(stack.get(&named(host, "other.test"), "/v1/a").await, Reason::Unreachable, Retry::Never, false);
    }
    assert_eq!(*asked.lock().unwrap(), ["vault.corp", "vault.corp"], "the name is for TLS alone");
    // It opens no way to the node for a class.
    let tenants = Endpoint { origin: Origin::Tenant, ..named("vault.corp", "elsewhere.test") };
    is(stack.get(&tenants, "/v1/a").await, Reason::Policy, Retry::Never, false);
    assert_eq!(kit.requests(), 2);
}

#[tokio::test]
async fn a_server_name_and_a_proxy_do_not_go_together() {
    let kit = Testkit::start();
    let proxy = Some("http://127.0.0.1:9".to_owned());
    let stack = now(Config { https_proxy: proxy, ..super::loopback() });
    let mut endpoint = kit.endpoint_at("a.kit.test", Origin::Administrator);
    endpoint.tls.name = Tls::name("b.kit.test");
    let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Setup, Retry::Never, false);
    assert!(told.contains("cannot be asked for through a proxy; name the host in NO_PROXY"), "{told}");
}

/// A kit that asks for certificates, and the files of one.
fn mutual() -> (Testkit, Client, Vec<u8>) {
    let kit = Testkit::start_as(Identity::Mutual);
    kit.route("*", |_| Reply::text(200, "x").header("connection", "close"));
    let file = |name: &str| kit.ca().with_file_name(name);
    let client = Client { certificate: file("client.pem"), key: file("client.key") };
    let (certificate, key, shown) = kit.client();
    fs::write(&client.certificate, certificate).unwrap();
    fs::write(&client.key, key).unwrap();
    (kit, client, shown)
}

#[tokio::test]
async fn a_server_that_wants_to_know_who_we_are_is_shown_the_certificate() {
    let (kit, client, shown) = mutual();
    let endpoint = kit.endpoint(Origin::Administrator);
    let own = Tls { client: Some(client.clone().into()), ..endpoint.tls.clone() };
    let stack = now(Config::default());
    stack.get(&Endpoint { tls: own.clone(), ..endpoint.clone() }, "/v1/a").await.unwrap();
    assert_eq!(kit.take_log()[0].shown.as_ref(), Some(&shown));
    for _ in 0..3 {
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::Unreachable, Retry::Backoff, true);
        assert!(
            told.contains("it asked for a client certificate")
                && told.contains("`clientCertificate` and `clientKey`"),
            "{told}"
        );
    }
    // Breaking off is no word about certificates where none was asked for, nor where one was shown.
    let other = Testkit::start();
    for kit in [&other, &kit] {
        kit.script("/", Manner::Close.into());
    }
    for endpoint in [other.endpoint(Origin::Administrator), Endpoint { tls: own.clone(), ..endpoint.clone() }]
    {
        let fault = stack.get(&endpoint, "/v1/a").await.err().expect("it breaks off");
        assert!(!fault.problem.to_string().contains("certificate"), "{}", fault.problem);
    }
    let (whole, key) =
        (fs::read_to_string(&client.certificate).unwrap(), fs::read_to_string(&client.key).unwrap());
    let (other, other_key, _) = kit.client();
    for (certificate, key, words) in [
        (
            whole.as_str(),
            other_key.as_str(),
            "client.key: is no key that can be used with the client certificate",
        ),
        (&whole, "", "client.key: has no private key"),
        (&whole, &other, "client.key: has no private key"),
        ("", &key, "client.pem: has no certificate"),
    ] {
        fs::write(&client.certificate, certificate).unwrap();
        fs::write(&client.key, key).unwrap();
        let told =
            now(Config::default()).get(&Endpoint { tls: own.clone(), ..endpoint.clone() }, "/v1/a").await;
        let told = is(told, Reason::Setup, Retry::Never, false);
        assert!(told.contains(words), "{told}");
    }
    fs::write(&client.certificate, &whole).unwrap();
    fs::remove_file(&client.key).unwrap();
    let told = now(Config::default()).get(&Endpoint { tls: own, ..endpoint }, "/v1/a").await;
    let told = is(told, Reason::Setup, Retry::Never, false);
    assert!(told.contains("client.key: the client key cannot be read: entity not found"), "{told}");
}

#[tokio::test]
async fn certificate_and_key_are_read_again_when_they_change_and_a_half_of_a_change_changes_nothing() {
    let (kit, client, first) = mutual();
    let held = held();
    let stack = stack(held.clock, Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    let tls = Tls { client: Some(client.clone().into()), ..endpoint.tls.clone() };
    let endpoint = Endpoint { tls, ..endpoint };
    let shown = async || {
        held.elapse(Duration::from_secs(6)).await;
        stack.get(&endpoint, "/v1/a").await.expect("nothing fails");
        kit.take_log().pop().unwrap().shown.unwrap()
    };
    let figure =
        |count: usize| stack.metrics.encode().contains(&format!("\nlatchkey_tls_files_kept {count}\n"));
    assert!(shown().await == first && figure(0));
    let (certificate, key, second) = kit.client();
    let replace = |file: &std::path::Path, text: &str| {
        let next = file.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, file).unwrap();
    };
    replace(&client.certificate, &certificate);
    assert!(shown().await == first && figure(1), "the key is still the old one");
    assert!(shown().await == first && figure(1));
    replace(&client.key, &key);
    assert!(shown().await == second && figure(0));
    replace(&kit.ca(), "garbage");
    assert!(shown().await == second && figure(1), "nor do authorities that turn bad");
    fs::remove_file(&client.certificate).unwrap();
    assert!(shown().await == second && figure(1), "nor what is gone");
}
