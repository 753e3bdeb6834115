//! A token goes only where its audience belongs.

use latchkey::error::Problems;
use latchkey::model::Audience;
use latchkey::model::locator::vault::Defaults;
use latchkey::policy::{Policy, permit};

use super::{catalog, configured, offer, reads, subject};

fn audiences(names: &[&str]) -> Vec<Audience> {
    names.iter().copied().map(Audience::new).collect()
}

/// A class that asks for this audience at a Vault store whose administrator says so much.
fn asked(audience: &str, default: Option<&str>, listed: &[&str]) -> Result<(), Problems> {
    let settings = Defaults {
        audience: default.map(Audience::new),
        audiences: audiences(listed),
        ..Defaults::default()
    };
    let mut access = configured("https://vault.corp");
    access.audience = Audience::new(audience);
    permit(reads(access), &subject(), &Policy::default(), &catalog(settings)).map(drop)
}

fn refusal(audience: &str, default: Option<&str>, listed: &[&str]) -> String {
    asked(audience, default, listed).expect_err(audience).text()
}

#[test]
fn the_audiences_of_other_kinds_go_nowhere_even_where_they_are_listed() {
    for (audience, owner) in [
        ("sts.amazonaws.com", "AWS"),
        ("STS.amazonaws.com", "AWS"),
        ("pods.eks.amazonaws.com", "AWS"),
        ("api://AzureADTokenExchange", "Azure"),
        ("api://AzureADTokenExchangeUSGov", "Azure"),
        (
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "Google Cloud",
        ),
        ("https://iam.googleapis.com/projects/1", "Google Cloud"),
        ("my-project.svc.id.goog", "Google Cloud"),
    ] {
        for (default, listed) in [(None, &[][..]), (Some(audience), &[]), (None, &[audience])] {
            let text = refusal(audience, default, listed);
            assert!(text.contains(&format!("`{audience}` belongs to {owner}")), "{text}");
            assert!(!text.contains("may add"), "{text}");
        }
    }
}

#[test]
fn what_only_looks_like_anothers_is_free() {
    for audience in
        ["sts.amazonaws.com.evil", "xsts.amazonaws.com", "iam.googleapis.com", "svc.id.goog", "vaults"]
    {
        asked(audience, None, &[]).unwrap();
    }
}

#[test]
fn the_empty_audience_is_the_api_servers_and_so_is_its_name() {
    for audience in [
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc",
    ] {
        assert!(refusal(audience, Some(audience), &[audience]).contains("API server"), "{audience}");
    }
    asked("https://kubernetes.default.svcs", None, &[]).unwrap();
    for listed in [&[][..], &["", "x"]] {
        assert!(refusal("", Some(""), listed).contains("API server"));
    }
}

#[test]
fn a_local_stores_audience_is_its_own_unless_the_administrator_says_otherwise() {
    assert!(refusal("latchkey", None, &[]).contains("belongs to the store `local`"));
    asked("latchkey", Some("latchkey"), &[]).unwrap();
    asked("latchkey", None, &["latchkey"]).unwrap();
}

#[test]
fn a_store_that_lists_its_audiences_takes_those_and_the_default() {
    for audience in ["vault", "openbao", "anything"] {
        asked(audience, None, &[]).unwrap();
        asked(audience, Some("vault-eu"), &[]).unwrap();
    }
    for audience in ["vault-eu", "vault-us"] {
        asked(audience, Some("vault-eu"), &["vault-us"]).unwrap();
    }
    // Without the administrator's default, the kind's own holds.
    for audience in ["vault", "vault-us"] {
        asked(audience, None, &["vault-us"]).unwrap();
    }
    for (audience, default) in
        [("anything", None), ("openbao", None), ("anything", Some("vault-eu")), ("vault", Some("vault-eu"))]
    {
        let problems = asked(audience, default, &["vault-us"]).unwrap_err();
        let offered = offer(problems.iter().next().unwrap()).unwrap();
        assert_eq!(offered, ("stores.vault.audiences".to_owned(), format!("\"{audience}\"")));
    }
}
