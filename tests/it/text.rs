//! Words of a backend on their way into an error: people find them again, and nothing secret goes with them.

use latchkey::text::{QUOTED_BYTES_MAX, is_hostile, quoted};
use proptest::prelude::*;

#[test]
fn words_that_people_search_for_come_through_unchanged() {
    for words in [
        "",
        "permission denied",
        "service account name not authorized",
        "invalid role name \"web\"",
        "no handler for route \"secrets/team-a/data/payments/production/db\". route entry not found.",
        "request path \"auth/kubernetes-eu-central-1/login\": rate limit quota exceeded",
        "failed to find entry for connection with name: \"postgres-primary-eu-central-1\"",
        "no such host prod-vault-0.vault-internal.vault.svc.cluster.local:8200",
        "kind secrets-store.csi.x-k8s.io/v1alpha1 of ip-10-0-12-34.eu-central-1.compute.internal",
        "Vault is sealed",
        "claim \"sub\" does not match system:serviceaccount:shop:web",
        "tokens begin with hvs. or s.",
        "1 < 2 && é",
    ] {
        assert_eq!(quoted(words), words);
    }
}

#[test]
fn what_looks_like_a_credential_is_taken_out() {
    for (words, wanted) in [
        ("bad token hvs.CAESIJx", "bad token …"),
        ("bad token \"hvb.AAAA\", sorry", "bad token \"…\", sorry"),
        ("token=s.1234567890abcdefghijABCD!", "…!"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "…"),
        ("Bearer eyJhbGciOiJSUzI1NiJ9", "Bearer …"),
        ("key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY is bad", "key … is bad"),
        ("sum d41d8cd98f00b204e9800998ecf8427e", "sum …"),
        ("request 7d2e3179-f69b-450c-7179-ac8ee8bd8ca9", "request …"),
        ("lease database/creds/web/QUGGbhJ5mBxeXQx6dcZ9xrfo", "lease …"),
        (&format!("x {} y", "a".repeat(64)), "x … y"),
    ] {
        assert_eq!(quoted(words), wanted, "{words}");
    }
}

#[test]
fn it_is_one_line_whatever_it_was() {
    assert_eq!(
        quoted("1 error occurred:\n\t* permission denied\n\n"),
        "1 error occurred: * permission denied"
    );
    assert_eq!(quoted("a\u{1b}[31mb\u{202e}c\0"), "a\\u{1b}[31mb\\u{202e}c\\u{0}");
}

#[test]
fn a_token_that_is_cut_in_two_does_not_slip_through() {
    for before in 4070..4096 {
        let words = format!("{}hvs.CAESIJ", " ".repeat(before));
        assert!(!quoted(&words).contains("hvs"), "{before}");
        let words = format!("{}s.1234567890abcdefghijABCD", " ".repeat(before));
        assert!(!quoted(&words).contains("123"), "{before}");
    }
}

#[test]
fn a_long_text_is_cut_with_a_mark() {
    let text = quoted(&"word ".repeat(1000));
    assert!(text.len() <= QUOTED_BYTES_MAX && text.len() > QUOTED_BYTES_MAX - 8 && text.ends_with('…'));
    assert!(quoted(&"é".repeat(1000)).len() <= QUOTED_BYTES_MAX);
}

proptest! {
    #[test]
    fn no_words_are_too_long_or_act_on_a_terminal(words in any::<String>(), times in 1usize..200) {
        let text = quoted(&words.repeat(times));
        prop_assert!(text.len() <= QUOTED_BYTES_MAX);
        prop_assert!(!text.chars().any(is_hostile));
    }

    #[test]
    fn no_token_comes_through_wherever_it_stands(
        before in "[ -~]{0,12}[^A-Za-z0-9]",
        after in "[^A-Za-z0-9][ -~]{0,12}",
        mark in prop_oneof![Just("hvs."), Just("hvb."), Just("s."), Just("b."), Just("eyJ")],
        body in "[A-Za-z0-9]{24,60}",
    ) {
        let words = format!("{before}{mark}{body}{after}");
        prop_assert!(!quoted(&words).contains(&body), "{}", words);
    }
}
