//! `secretPath` and `method`: what goes on the wire.

use latchkey::error::Reason;
use latchkey::model::locator::request;
use proptest::prelude::*;
use url::Url;

use super::{locators, objects, only, refused};

fn target(path: &str) -> String {
    let text = format!("- {{ objectName: o, secretPath: {path:?}, secretKey: k }}");
    locators(&objects(&text).unwrap())[0].target()
}

#[test]
fn a_path_goes_on_the_wire_as_the_go_client_sends_it() {
    for (written, sent) in [
        ("/v1/x/y", "/v1/x/y"),
        ("v1/x/y", "/v1/x/y"),
        ("/x/y", "/v1/x/y"),
        ("x/y", "/v1/x/y"),
        ("V1/x", "/v1/V1/x"),
        ("/v2/x", "/v1/v2/x"),
        ("v1", "/v1/v1"),
        ("/v1", "/v1/v1"),
        ("/v1/v1/", "/v1/v1"),
        ("", "/v1"),
        ("/", "/v1"),
        ("v1/", "/v1"),
        (".", "/v1"),
        ("?x=1", "/v1?x=1"),
        ("//x//./y/", "/v1/x/y"),
        ("x/../y", "/v1/y"),
        ("../v1/x", "/v1/x"),
        ("x/...", "/v1/x/..."),
        ("http://h:1/x", "/v1/http:/h:1/x"),
        (" a b", "/v1/%20a%20b"),
        ("é", "/v1/%C3%A9"),
        ("a%20b%", "/v1/a%2520b%25"),
        ("a#b", "/v1/a%23b"),
        ("!*'()[]{}|^`<>", "/v1/%21%2A%27%28%29%5B%5D%7B%7D%7C%5E%60%3C%3E"),
        ("$&+,:;=@~-._", "/v1/$&+,:;=@~-._"),
    ] {
        assert_eq!(target(written), sent, "{written:?}");
    }
}

#[test]
fn a_query_is_read_and_written_again() {
    for (written, sent) in [
        ("?", ""),
        ("?&&", ""),
        ("?x", "?x="),
        ("?b=2&a=1&b=1", "?a=1&b=2&b=1"),
        ("?x=a%20b+c", "?x=a+b+c"),
        ("?x=%2f%C3%A9é", "?x=%2F%C3%A9%C3%A9"),
        ("?x=1?y=2#f", "?x=1%3Fy%3D2%23f"),
        ("?x=~*'()!@:,/", "?x=~%2A%27%28%29%21%40%3A%2C%2F"),
        ("?%ff=%00", "?%FF=%00"),
    ] {
        assert_eq!(target(&format!("p/{written}")), format!("/v1/p{sent}"), "{written:?}");
    }
    for bad in ["p?x=%zz", "p?%", "p?x=%a", "p?x;y=1", "p?x=1;2"] {
        let text = format!("- {{ objectName: o, secretPath: {bad:?} }}");
        refused(&text, (1, 32), "object `o`", "`secretPath` has a");
    }
}

#[test]
fn what_leaves_the_api_is_refused() {
    for path in ["..", "../x", "x/../..", "v1/../x", "/../v1x", "x/../../sys/../v2/x"] {
        let text = format!("- {{ objectName: o, secretPath: {path:?} }}");
        refused(&text, (1, 32), "object `o`", "`secretPath` leads out of `/v1/`");
    }
}

#[test]
fn paths_that_end_sessions_leases_or_the_server_are_not_permitted() {
    for path in [
        "auth/token/revoke-self",
        "/v1/auth/token/lookup-self",
        "auth/token/renew-self?x=1",
        "auth//token/./revoke",
        "auth/token/revoke-accessor",
        "sys/leases/revoke",
        "x/../sys/leases/lookup",
        "sys/seal/",
        "sys//step-down",
        "sys/revoke-prefix/database",
        "sys/renew/database/creds/web/1",
        // Below a namespace, or several; also one that is called like a part of a KV path.
        "ns1/auth/token/revoke-self",
        "/v1/ns1/auth/token/lookup-self",
        "ns1/team/a/auth/token/revoke",
        "ns1/sys/leases/revoke",
        "ns1/sys/leases",
        "a/b/sys/step-down?x=1",
        "data/auth/token/revoke-self",
        "ns1/sys/revoke/database/creds/web/1",
    ] {
        let text = format!("- {{ objectName: o, secretPath: {path:?}, method: PUT }}");
        let problem = only(objects(&text), Reason::Policy, "objects");
        assert!(problem.what.contains("`secretPath`"), "{problem}");
        assert_eq!(problem.place.object.as_deref(), Some("object `o`"));
    }
    for path in [
        "auth/token/create",
        "secret/data/auth/token/revoke-self",
        "ns1/secret/data/auth/token/revoke-self",
        "secret/metadata/sys/leases/a",
        "ns1/auth/token/create",
        "kv/xsys/seal",
        "kv/sys/sealed",
        "sys/seal-status",
        "sys/leasesx",
        "sys/health",
    ] {
        target(path);
    }
}

#[test]
fn a_method_is_sent_as_written() {
    let method = |written: &str| {
        let text = format!("- {{ objectName: o, secretPath: x, method: {written} }}");
        locators(&objects(&text).unwrap())[0].method.to_string()
    };
    for (written, sent) in [
        ("PUT", "PUT"),
        ("get", "get"),
        ("", "GET"),
        ("~", "GET"),
        ("0644", "0644"),
        ("true", "true"),
        ("CUSTOM-1", "CUSTOM-1"),
    ] {
        assert_eq!(method(written), sent);
    }
    for bad in ["\" GET\"", "\"GET:\"", "\"G T\"", "\"é\"", "\"a\\r\\nb\"", "CONNECT"] {
        let text = format!("- {{ objectName: o, secretPath: x, method: {bad} }}");
        refused(&text, (1, 43), "object `o`", "`method` is no HTTP method");
    }
}

#[test]
fn two_spellings_of_one_request_are_one_locator() {
    let plan = objects(
        "- { objectName: a, secretPath: \"secret/data/x?b=1&a=2\", secretArgs: { k: 1, l: [true] } }\n\
         - { objectName: b, secretPath: \"/v1//secret/data/x/?a=2&b=1&\", method: GET, secretArgs: { l: [True], k: 0x1 } }\n\
         - { objectName: c, secretPath: \"secret/data/x?b=1&a=2\", secretArgs: { k: 2, l: [true] } }\n\
         - { objectName: d, secretPath: \"secret/data/x?b=1&a=2\" }\n",
    )
    .unwrap();
    let [a, b, c, d] = locators(&plan)[..] else { panic!("four") };
    assert_eq!(a, b);
    assert!(a != c && a != d && a.to_string() != c.to_string());
    assert_eq!(d.to_string(), "secret/data/x?a=2&b=1");
    assert!(!a.to_string().contains("true"), "arguments are shown by their digest alone");
}

proptest! {
    #[test]
    fn no_url_parser_changes_a_canonical_path(text in "[ -~é\u{1}\u{7f}/.?%&=;+]{0,40}") {
        if let Ok(path) = request::path(&text) {
            let sent = format!("https://host/v1/{path}");
            let url = Url::parse(&sent).unwrap();
            // The one exception is `/v1` itself, whose slash is the locator's to leave out.
            prop_assert_eq!(url.as_str(), sent.as_str());
            prop_assert!(url.path().starts_with("/v1/"));
        }
        if let Ok(mount) = request::mount(&text) {
            let sent = format!("https://host/v1/auth/{mount}/login");
            let url = Url::parse(&sent).unwrap();
            prop_assert_eq!(url.as_str(), sent.as_str());
        }
    }

    #[test]
    fn a_path_of_plain_segments_is_its_own_canonical_spelling(segments in prop::collection::vec("[a-z0-9_-]{1,8}", 1..6)) {
        let path = segments.join("/");
        prop_assume!(!request::is_session(&path) && segments[0] != "v1");
        let canonical = request::path(&path).unwrap();
        prop_assert_eq!(&*canonical, path.as_str());
        prop_assert_eq!(request::path(&format!("/v1/{path}/")).unwrap(), canonical);
    }
}
