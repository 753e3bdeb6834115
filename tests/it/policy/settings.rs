//! The policy as the configuration spells it.

use latchkey::config::parse;
use latchkey::error::{Problems, Reason};
use latchkey::policy::{Policy, Site};

use super::{policy, store};

fn refused(text: &str) -> Problems {
    parse(text, |_| None).expect_err(text)
}

#[test]
fn every_key_of_the_policy_is_read() {
    let policy = policy(
        "{ endpoints: { allow: [\"https://*.corp:8200\", http://a] }, files: { allow: [/etc/ca.pem] }, \
         skipVerify: [https://lab], nodeIdentity: [prod] }",
    );
    assert_eq!(policy.endpoints, ["https://*.corp:8200", "http://a"].map(|text| Site::parse(text).unwrap()));
    assert_eq!(policy.files, [std::path::Path::new("/etc/ca.pem")]);
    assert_eq!(policy.skip_verify, [Site::parse("https://lab:443").unwrap()]);
    assert_eq!(policy.node_identity, [store("prod")]);
}

#[test]
fn what_is_no_endpoint_is_refused_with_its_line_and_what_to_write() {
    for text in [
        "vault.corp",
        "https://",
        "https://vault.corp/",
        "https://vault.corp/v1",
        "https://vault.corp?x",
        "https://vault.corp#x",
        "https://user@vault.corp",
        "https://vault.corp\\x",
        "https://va ult.corp",
        "https://va%75lt.corp",
        "https://va*.corp",
        "https://**.corp",
        "https://a..corp",
        "https://.corp",
        "https://*.0.0.1",
        "https://vault.corp:port",
        "https://vault.corp:99999",
        "ftp://vault.corp",
        "unix:///run/x",
        "https:/vault.corp",
        "*",
        "",
    ] {
        assert!(Site::parse(text).is_none(), "{text}");
        let quoted = serde_json::to_string(text).unwrap();
        for key in ["endpoints:\n    allow", "skipVerify"] {
            let problems = refused(&format!("policy:\n  {key}:\n    - https://fine\n    - {quoted}\n"));
            let problem = problems.iter().next().unwrap();
            let name = format!("policy.{}[1]", key.replace(":\n    ", "."));
            assert_eq!(problem.place.parameter.as_deref(), Some(name.as_str()));
            let line = if key == "skipVerify" { 4 } else { 5 };
            assert_eq!(problem.place.at, Some((line, 7)), "{problem}");
            assert!(problem.remedy.contains("https://HOST[:PORT]"), "{problem}");
        }
    }
}

#[test]
fn all_bad_entries_are_told_at_once_and_lists_must_be_lists() {
    let text = "policy:\n  endpoints: { allow: https://a }\n  files: { allow: [ca.pem, /etc/../x] }\n  \
                skipVerify: [7]\n  nodeIdentity: [Prod, [x]]\n  rules: [{ roles: web }]\n";
    let problems = refused(text);
    let found: Vec<&str> = problems.iter().filter_map(|problem| problem.place.parameter.as_deref()).collect();
    for key in [
        "policy.endpoints.allow",
        "policy.files.allow[0]",
        "policy.files.allow[1]",
        "policy.skipVerify[0]",
        "policy.nodeIdentity[0]",
        "policy.nodeIdentity[1]",
        "policy.rules[0].roles",
    ] {
        assert!(found.contains(&key), "{key} in {found:?}");
    }
    assert!(problems.iter().all(|problem| problem.reason == Reason::Invalid));
}

#[test]
fn a_policy_that_lists_nothing_allows_no_word_of_a_classs() {
    assert!(super::judge(&super::reads(super::tenant("https://vault.corp")), &Policy::default()).is_err());
}
