//! Who may use which stores, objects and roles.

use std::sync::Arc;

use latchkey::error::Reason;
use latchkey::model::locator::{local, vault};
use latchkey::model::{Access, AccountName, Catalog, Defaults, Entry, Locator, Namespace, Plan, Subject};
use latchkey::policy::{Pattern, Policy, Rule, Rules, permit};
use latchkey::secret::{DigestKey, Secret};
use proptest::prelude::*;

use super::{catalog, configured, judge, offer, pasted, plan, refused, store};

fn entries(paths: &[&str]) -> Arc<Plan> {
    let access = Access::Local(local::Access { store: store("local"), audience: None });
    plan(paths.iter().map(|path| {
        let path = local::EntryPath::parse(path).unwrap();
        (access.clone(), Locator::Local(local::Locator { path, version: None }))
    }))
}

fn object(path: &str, role: &str) -> Arc<Plan> {
    let mut access = configured("https://vault.corp");
    access.role = role.into();
    plan([(Access::Vault(access), super::get(path))])
}

fn only(rules: Vec<Rule>) -> Policy {
    Policy { rules: Rules::only(rules), ..Policy::default() }
}

fn list(text: &str) -> Vec<Pattern> {
    vec![Pattern::new("nobody"), Pattern::new(text)]
}

fn rule(namespace: &str, account: &str, store: &str, object: &str) -> Rule {
    Rule {
        namespaces: list(namespace),
        accounts: list(account),
        stores: list(store),
        objects: list(object),
        roles: None,
    }
}

#[test]
fn a_rule_allows_only_where_all_four_lists_match() {
    let plan = entries(&["prod/db"]);
    judge(&plan, &Policy::default()).unwrap();
    judge(&plan, &only(vec![rule("sh*", "*", "local", "prod/*")])).unwrap();
    for rules in [
        vec![],
        vec![rule("other", "*", "*", "*")],
        vec![rule("*", "other", "*", "*")],
        vec![rule("*", "*", "vault", "*")],
        vec![rule("*", "*", "*", "prod/d")],
    ] {
        assert_eq!(refused(&plan, &only(rules)).reason, Reason::Policy);
    }
}

#[test]
fn roles_are_judged_where_a_rule_names_them() {
    let with = |roles: Option<&[&str]>| {
        let roles = roles.map(|roles| roles.iter().copied().map(Pattern::new).collect());
        only(vec![Rule { roles, ..rule("*", "*", "*", "*") }])
    };
    for (roles, web, admin, none) in [
        (None, true, true, true),
        (Some(&["*"][..]), true, true, true),
        (Some(&["web"]), true, false, false),
        (Some(&["w*b", "adm*"]), true, true, false),
        (Some(&[]), false, false, false),
    ] {
        let policy = with(roles);
        let answers = [object("a", "web"), object("a", "admin"), entries(&["a"])]
            .map(|plan| judge(&plan, &policy).is_ok());
        assert_eq!(answers, [web, admin, none], "{roles:?}");
    }
}

#[test]
fn every_object_that_no_rule_allows_is_named_with_its_line() {
    let text = judge(&entries(&["prod/db", "prod/key"]), &only(vec![])).unwrap_err().text();
    for object in ["prod/db", "prod/key"] {
        let line = format!(
            "- {{ namespaces: [shop], serviceAccounts: [web], stores: [local], objects: [\"{object}\"] }}"
        );
        assert!(text.contains(&line), "{text}");
    }
    let problem = refused(&object("database/creds/web", "web"), &only(vec![]));
    assert_eq!(
        problem.to_string(),
        "secret `s0` (vault database/creds/web): no rule allows it to service account `shop/web` as role `web`; the \
         administrator may add to `policy.rules`: - { namespaces: [shop], serviceAccounts: [web], stores: [vault], \
         objects: [\"database/creds/web\"], roles: [\"web\"] }"
    );
}

#[test]
fn everything_is_refused_at_once() {
    let mut access = super::tenant("https://evil.corp");
    access.endpoint.tls.skip_verify = true;
    access.endpoint.tls.ca = Some("/etc/shadow".into());
    access.audience = latchkey::model::Audience::new("sts.amazonaws.com");
    let plan = super::reads(access);
    let problems = judge(&plan, &only(vec![])).unwrap_err();
    assert!(problems.iter().all(|problem| problem.reason == Reason::Policy));
    let keys: Vec<Option<String>> =
        problems.iter().map(|problem| offer(problem).map(|offer| offer.0)).collect();
    let wanted = [
        Some("policy.endpoints.allow"),
        Some("policy.skipVerify"),
        Some("policy.files.allow"),
        None,
        Some("policy.rules"),
    ];
    assert_eq!(keys, wanted.map(|key| key.map(str::to_owned)));
}

#[test]
fn a_name_with_a_star_gets_no_line_that_would_allow_more() {
    for plan in [object("secret/*", "web"), object("secret/a", "*"), object("*", "*")] {
        let problem = refused(&plan, &only(vec![]));
        assert_eq!(offer(&problem), None, "{problem}");
        assert!(problem.remedy.contains("any run of characters"), "{problem}");
    }
}

/// What a pattern means, in the plainest way.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches(rest, text),
        (Some((b'*', rest)), Some((_, tail))) => matches(rest, text) || matches(pattern, tail),
        (Some((p, rest)), Some((t, tail))) => p == t && matches(rest, tail),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    #[test]
    fn patterns_mean_what_the_plainest_reading_says(pattern in "[ab*/]{0,8}", text in "[ab/]{0,10}") {
        prop_assert_eq!(Pattern::new(&pattern).matches(&text), matches(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn the_line_that_is_printed_allows_that_and_nothing_else(
        namespace in "[a-z0-9-]{1,6}|null|true|-",
        account in "[a-z0-9.-]{1,6}|null|~|yes|1e3".prop_filter("a name", |name| AccountName::parse(name).is_some()),
        path in "[a-zA-Z0-9/%?=&._\"'\\\\{}\\[\\]:,# -]{1,12}|null",
        method in "GET|PUT|get|\\PC{0,3}",
        role in ".{0,6}|[\u{0}-\u{9f}\u{200b}\u{202e}\u{2028}\u{fffe}\u{ffff}\u{feff}]{1,4}|null",
    ) {
        prop_assume!(![&path, &method, &role].iter().any(|text| text.contains('*')));
        let who = |namespace: &str, account: &str| {
            let (namespace, account) = (Namespace::parse(namespace).unwrap(), AccountName::parse(account).unwrap());
            Subject { namespace, account, pod: None }
        };
        let wanted = |path: &str, role: &str| {
            let mut access = configured("https://vault.corp");
            access.role = role.into();
            let locator = vault::Locator { method: method.as_str().into(), path: path.into(), args: None };
            plan([(Access::Vault(access), Locator::Vault(locator))])
        };
        let judge = |plan: Arc<Plan>, subject: &Subject, policy: &Policy| {
            permit(plan, subject, policy, &catalog(vault::Defaults::default())).map(drop)
        };
        let subject = who(&namespace, &account);
        let refusal = judge(wanted(&path, &role), &subject, &only(vec![])).unwrap_err();
        let policy = pasted(&offer(refusal.iter().next().unwrap()).unwrap());
        prop_assert!(judge(wanted(&path, &role), &subject, &policy).is_ok(), "{}", refusal);
        let more = |text: &str| format!("{text}x");
        let others = [
            (more(&path), role.clone(), who(&namespace, &account)),
            (path.clone(), more(&role), who(&namespace, &account)),
            (path.clone(), role.clone(), who(&more(&namespace), &account)),
            (path.clone(), role.clone(), who(&namespace, &more(&account))),
        ];
        for (path, role, subject) in others {
            prop_assert!(judge(wanted(&path, &role), &subject, &policy).is_err());
        }
    }

    #[test]
    fn what_no_rule_matches_is_refused(
        rules in prop::collection::vec(("[a*]{1,2}", "[a*]{1,2}", "[ab/*]{1,4}", prop::option::of("[a*]{1,2}")), 0..4),
        path in "[ab/]{1,4}",
        role in "[ab]{0,2}",
    ) {
        let fits = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        let expected = rules.iter().any(|(namespace, account, object, of_role)| {
            fits(namespace, "shop") && fits(account, "web") && fits(object, &path)
                && of_role.as_ref().is_none_or(|of_role| fits(of_role, &role))
        });
        let rules = rules.iter().map(|(namespace, account, object, of_role)| Rule {
            namespaces: vec![Pattern::new(namespace)],
            accounts: vec![Pattern::new(account)],
            stores: vec![Pattern::new("*")],
            objects: vec![Pattern::new(object)],
            roles: of_role.as_ref().map(|of_role| vec![Pattern::new(of_role)]),
        });
        prop_assert_eq!(judge(&object(&path, &role), &only(rules.collect())).is_ok(), expected);
    }
}

#[test]
fn a_store_that_a_class_reaches_by_its_address_is_judged_by_its_own_name() {
    let named = |name: &str, address: &str| Entry {
        store: store(name),
        defaults: Defaults::Vault(vault::Defaults {
            endpoint: Some(configured(address).endpoint),
            ..vault::Defaults::default()
        }),
        fresh: None,
    };
    let (vault, prod) = (named("vault", "https://vault.corp"), named("prod", "https://prod.corp"));
    // What the dialect of the store `vault` makes of a class with `vaultAddress: https://prod.corp`.
    let class = plan([(Access::Vault(configured("https://prod.corp")), super::get("secret/data/db"))]);
    let judge = |stores: &str, entries: &[&Entry]| {
        let catalog = Catalog::new(entries.iter().copied().cloned());
        permit(Arc::clone(&class), &super::subject(), &only(vec![rule("*", "*", stores, "*")]), &catalog)
    };
    let told = judge("vault", &[&vault, &prod]).expect_err("a rule for one store opens another").text();
    assert!(told.contains("stores: [prod]"), "{told}");
    judge("prod", &[&vault, &prod]).unwrap();
    // A store of the class's own that has the address too is meant first.
    judge("vault", &[&named("vault", "https://prod.corp"), &prod]).unwrap();
}

#[test]
fn a_rule_for_a_request_with_a_body_holds_on_every_node_and_after_a_restart() {
    let access = || Access::Vault(configured("https://vault.corp"));
    let issue = |key: u8, path: &str| {
        let args =
            vault::Args::new(Secret::from_text("{\"ttl\":\"1h\"}".to_owned()), &DigestKey::new(&[key; 32]));
        plan([(
            access(),
            Locator::Vault(vault::Locator { method: "PUT".into(), path: path.into(), args: Some(args) }),
        )])
    };
    judge(&issue(1, "pki/issue/web"), &only(vec![rule("*", "*", "*", "PUT pki/issue/web")])).unwrap();
    let offered = offer(&refused(&issue(1, "pki/issue/web"), &only(vec![]))).expect("a line to add");
    judge(&issue(2, "pki/issue/web"), &pasted(&offered)).unwrap();
    refused(&issue(2, "pki/issue/admin"), &pasted(&offered));
}
