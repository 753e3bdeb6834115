//! The rows of the hardening page on bad input to a class of Vault or OpenBao, by their numbers. V-03 also stands with
//! addresses, V-21 to V-25 with the faults; others have tests of their own besides, with more of each kind.

use latchkey::error::{Problems, Reason};
use latchkey::model::{Plan, Subject};
use latchkey::policy::permit;

use super::{access, catalog, locators, objects, only, with};

const ROLE: (&str, &str) = ("roleName", "web");

/// What policy says of a plan that the dialect takes: nothing is listed.
fn judged(plan: Plan, policy: &str) -> Result<(), Problems> {
    judged_in(
        plan,
        &format!("stores: {{ vault: {{ address: \"https://vault.corp:8200\" }} }}\npolicy: {policy}\n"),
    )
}

fn judged_in(plan: Plan, text: &str) -> Result<(), Problems> {
    let config = latchkey::config::parse(text, |_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let subject = Subject {
        namespace: latchkey::model::Namespace::parse("shop").unwrap(),
        account: latchkey::model::AccountName::parse("web").unwrap(),
        pod: None,
    };
    permit(std::sync::Arc::new(plan), &subject, &config.policy, &config.catalog()).map(drop)
}

/// Refused as policy has it, by the dialect or behind it, at this parameter.
fn is_policys(words: &[(&str, &str)], parameter: &str) {
    let problems = match with(&[&[ROLE], words].concat()) {
        Ok(plan) => judged(plan, "{}").expect_err("it is permitted"),
        Err(problems) => problems,
    };
    assert!(problems.iter().all(|problem| problem.reason == Reason::Policy), "{problems}");
    let at = |name: &str| problems.iter().any(|problem| problem.place.parameter.as_deref() == Some(name));
    assert!(at(parameter), "{problems}");
}

#[test]
fn v_01_a_class_without_a_role_is_refused() {
    only(with(&[]), Reason::Invalid, "roleName");
    only(with(&[("roleName", "")]), Reason::Invalid, "roleName");
}

#[test]
fn v_03_addresses_that_look_like_the_administrators_are_not() {
    for address in [
        "https://vault@evil.com",
        "https://vault.corp\\@evil.com",
        "https://vault.corp:8200@evil.com",
        "https://v\u{430}ult.corp:8200",
        "https://vault.corp.evil.com:8200",
        "https://vault.corp:8200.evil.com",
        "http://vault.corp:8200",
        "https://169.254.169.254",
        "unix:///run/agent.sock",
    ] {
        is_policys(&[("vaultAddress", address)], "vaultAddress");
    }
    with(&[ROLE, ("vaultAddress", "HTTPS://Vault.corp:8200/")]).unwrap();
}

#[test]
fn v_05_believing_any_certificate_is_refused_until_policy_lists_the_server() {
    let skip = [ROLE, ("vaultSkipTLSVerify", "true")];
    is_policys(&skip[1..], "vaultSkipTLSVerify");
    judged(with(&skip).unwrap(), "{ skipVerify: [\"https://vault.corp:8200\"] }").unwrap();
    let own = "stores: { vault: { address: \"https://vault.corp:8200\", skipVerify: true } }";
    let plan = super::with_in(super::Flavour::Vault, &[ROLE], &catalog(own, &[])).unwrap();
    for (listed, allowed) in [("{}", false), ("{ skipVerify: [\"https://vault.corp:8200\"] }", true)] {
        let judged = judged_in(plan.clone(), &format!("{own}\npolicy: {listed}\n"));
        assert_eq!(judged.is_ok(), allowed, "not on the store's word alone either");
    }
}

#[test]
fn v_07_files_of_the_agents_own_are_refused_and_authorities_may_be_spelled_out() {
    for file in ["/proc/self/environ", "../../etc/shadow", "/etc/shadow"] {
        for name in ["vaultCACertPath", "vaultCADirectory", "vaultTLSClientCertPath", "vaultTLSClientKeyPath"]
        {
            is_policys(&[(name, file)], name);
        }
        let pair = [("vaultTLSClientCertPath", file), ("vaultTLSClientKeyPath", file)];
        is_policys(&pair, "vaultTLSClientCertPath");
    }
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    judged(with(&[ROLE, ("vaultCACert", pem)]).unwrap(), "{}").unwrap();
    let listed = "{ files: { allow: [/c, /k, /cas] } }";
    let words =
        [("vaultTLSClientCertPath", "/c"), ("vaultTLSClientKeyPath", "/k"), ("vaultCADirectory", "/cas")];
    judged(with(&[&[ROLE], &words[..]].concat()).unwrap(), listed).unwrap();
}

#[test]
fn v_09_an_auth_mount_stays_below_auth() {
    for mount in ["../sys", "a/../../sys/seal", "..", "."] {
        only(with(&[ROLE, ("vaultAuthMountPath", mount)]), Reason::Invalid, "vaultAuthMountPath");
    }
    // What is odd and stays there is escaped, as upstream does, and cannot end the path.
    for (mount, sent) in [("a?b", "a%3Fb"), ("a#b", "a%23b"), ("//x", "x")] {
        let plan = with(&[ROLE, ("vaultAuthMountPath", mount)]).unwrap();
        assert_eq!(&*access(&plan).mount, sent);
    }
}

fn path(text: &str) -> Result<String, Problems> {
    objects(text).map(|plan| locators(&plan)[0].path.to_string())
}

#[test]
fn v_11_a_query_is_passed_on_as_upstream_does_in_one_spelling() {
    let list = "- { objectName: o, secretPath: \"secret/data/db?version=2&list=true\" }";
    assert_eq!(path(list).unwrap(), "secret/data/db?list=true&version=2");
    for bad in ["secret/x?a;b", "secret/x?%zz"] {
        only(objects(&format!("- {{ objectName: o, secretPath: {bad:?} }}")), Reason::Invalid, "objects");
    }
}

#[test]
fn v_13_a_method_is_one_of_http_and_none_that_makes_a_tunnel() {
    let method = |text: &str| objects(&format!("- {{ objectName: o, secretPath: kv/x, method: {text:?} }}"));
    for bad in ["CONNECT", "GET /x", "G\nET", "GÉT", "a:b"] {
        only(method(bad), Reason::Invalid, "objects");
    }
    // Upstream sends what is written, and so do we: what a path does not take the server refuses.
    for sent in ["GET", "PUT", "POST", "LIST", "DELETE", "PATCH", "TRACE", "get"] {
        assert_eq!(&*locators(&method(sent).unwrap())[0].method, sent);
    }
}

#[test]
fn v_15_arguments_have_a_depth_and_a_size() {
    let nested = format!("{}1{}", "{ a: ".repeat(10_000), " }".repeat(10_000));
    let large = "x".repeat(2 << 20);
    for args in [format!("{{ a: {nested} }}"), format!("{{ a: {large} }}")] {
        let problems =
            objects(&format!("- {{ objectName: o, secretPath: kv/x, method: PUT, secretArgs: {args} }}"));
        let problem = only(problems, Reason::Invalid, "objects");
        assert!(problem.to_string().len() < 1024, "{problem}");
    }
}

#[test]
fn v_19_an_encoding_is_known_before_any_call() {
    let encoded = |text: &str| {
        objects(&format!("- {{ objectName: o, secretPath: kv/x, secretKey: k, encoding: {text} }}"))
    };
    only(encoded("base32"), Reason::Invalid, "objects");
    for known in ["utf-8", "base64", "hex"] {
        encoded(known).unwrap();
    }
}
