//! Everything but the objects: which server, and as whom.

use latchkey::dialect::Dialect;
use latchkey::dialect::vault::{Flavour, Vault};
use latchkey::error::Reason;
use latchkey::model::endpoint::Ca;
use latchkey::model::{AccountName, Namespace, Origin, Subject};

use super::{ADDRESS, access, catalog, only, parse, usual, with, with_in};

const ROLE: (&str, &str) = ("roleName", "web");

#[test]
fn a_class_that_says_no_more_than_it_must_has_every_default() {
    for (flavour, name) in [(Flavour::Vault, "vault"), (Flavour::OpenBao, "openbao")] {
        let plan = with_in(flavour, &[ROLE], &usual()).unwrap();
        let access = access(&plan);
        assert_eq!((access.store.as_str(), access.audience.as_str()), (name, name));
        assert_eq!((&*access.role, &*access.mount, &*access.namespace), ("web", "kubernetes", ""));
        assert_eq!(
            (access.endpoint.to_string().as_str(), access.endpoint.origin),
            (ADDRESS, Origin::Administrator)
        );
        assert_eq!((access.flavour, &access.endpoint.tls), (flavour, &latchkey::model::Tls::default()));
        assert_eq!(Vault { flavour }.provider(), name);
    }
}

#[test]
fn what_the_class_leaves_open_is_the_stores() {
    let text = "stores:\n  vault:\n    address: https://vault.corp\n    ca: /ca.pem\n    authMount: /k8s/prod/\n    \
                namespace: team\n    role: \"{namespace}-{serviceAccount}\"\n    audience: corp\n";
    let catalog = catalog(text, &[]);
    let plan = std::sync::Arc::new(with_in(Flavour::Vault, &[], &catalog).unwrap());
    let open = access(&plan);
    assert_eq!((&*open.mount, &*open.namespace, open.audience.as_str()), ("k8s/prod", "team", "corp"));
    assert_eq!(open.endpoint.tls.ca, Some("/ca.pem".into()));
    let subject = Subject {
        namespace: Namespace::parse("shop").unwrap(),
        account: AccountName::parse("web.one").unwrap(),
        pod: None,
    };
    assert_eq!(&*access(&plan.resolved(&subject)).role, "shop-web.one");
    // The class wins, and what says nothing is left to the store.
    let words = [ROLE, ("vaultNamespace", " ns\t"), ("vaultAuthMountPath", "jwt"), ("audience", "a")];
    let plan = std::sync::Arc::new(with_in(Flavour::Vault, &words, &catalog).unwrap());
    let said = access(&plan);
    assert_eq!(
        (&*said.role, &*said.namespace, &*said.mount, said.audience.as_str()),
        ("web", "ns", "jwt", "a")
    );
    let same = plan.resolved(&subject);
    assert!(std::sync::Arc::ptr_eq(&plan, &same), "nothing was open");
    let empty =
        ["roleName", "vaultNamespace", "vaultAuthMountPath", "audience", "vaultAddress", "vaultCACertPath"];
    let plan = with_in(Flavour::Vault, &empty.map(|name| (name, "")), &catalog).unwrap();
    assert_eq!(access(&plan), open);
}

#[test]
fn an_address_that_several_stores_have_is_the_own_stores_with_its_certificates() {
    let text = "stores:\n  dev: { kind: vault, address: https://vault.corp:8200, ca: /dev.pem }\n  \
                vault: { address: https://vault.corp:8200, ca: /ca.pem }\n";
    let plan = with_in(Flavour::Vault, &[ROLE, ("vaultAddress", ADDRESS)], &catalog(text, &[])).unwrap();
    assert_eq!(access(&plan).endpoint.tls.ca, Some("/ca.pem".into()));
}

#[test]
fn objects_of_one_class_share_their_access_before_and_after_names_are_filled_in() {
    let list = "[{ objectName: a, secretPath: x }, { objectName: b, secretPath: y }]";
    let plan = parse(Flavour::Vault, &[("roleName", "{namespace}"), ("objects", list)], &usual()).unwrap();
    let subject = Subject {
        namespace: Namespace::parse("shop").unwrap(),
        account: AccountName::parse("web").unwrap(),
        pod: None,
    };
    let plan = std::sync::Arc::new(plan).resolved(&subject);
    let [a, b] = plan.sources() else { panic!("two") };
    assert!(std::sync::Arc::ptr_eq(&a.access, &b.access));
    assert_eq!((a.access.role(), b.access.role()), (Some("shop"), Some("shop")));
}

#[test]
fn a_role_is_required_and_the_first_spelling_that_is_there_counts() {
    for (flavour, words, role) in [
        (Flavour::Vault, &[("roleName", "a"), ("vaultRoleName", "b")][..], Some("a")),
        (Flavour::Vault, &[("vaultRoleName", "b")], Some("b")),
        (Flavour::Vault, &[("roleName", "  ")], Some("  ")),
        (Flavour::Vault, &[], None),
        (Flavour::Vault, &[("rolename", "a"), ("vaultRole", "b"), ("openbaoRoleName", "c")], None),
        (Flavour::OpenBao, &[("roleName", "a"), ("vaultRoleName", "b")], Some("b")),
        (
            Flavour::OpenBao,
            &[("vaultRoleName", "b"), ("openbaoRoleName", "c"), ("baoRoleName", "d")],
            Some("d"),
        ),
        (Flavour::OpenBao, &[("roleName", "a"), ("vaultRoleName", "")], None),
    ] {
        let outcome = with_in(flavour, words, &usual());
        match role {
            Some(role) => assert_eq!(&*access(&outcome.unwrap()).role, role, "{words:?}"),
            None => drop(only(outcome, Reason::Invalid, "roleName")),
        }
    }
}

#[test]
fn of_openbaos_prefixes_the_first_that_is_there_counts_even_when_it_says_nothing() {
    for (suffix, good) in [("Namespace", "good"), ("AuthMountPath", "good"), ("KubernetesMountPath", "good")]
    {
        let seen = |words: &[(&str, &str)]| {
            let names: Vec<String> = words.iter().map(|(prefix, _)| format!("{prefix}{suffix}")).collect();
            let words: Vec<_> =
                names.iter().zip(words).map(|(name, (_, text))| (name.as_str(), *text)).collect();
            let plan = with_in(Flavour::OpenBao, &[&[ROLE], &words[..]].concat(), &usual()).unwrap();
            let access = access(&plan);
            if suffix == "Namespace" { access.namespace.to_string() } else { access.mount.to_string() }
        };
        let nothing = if suffix == "Namespace" { "" } else { "kubernetes" };
        for prefix in ["bao", "openbao", "vault"] {
            assert_eq!(seen(&[(prefix, good)]), good);
        }
        assert_eq!(seen(&[("bao", good), ("openbao", "x"), ("vault", "y")]), good);
        assert_eq!(seen(&[("openbao", good), ("vault", "y")]), good);
        assert_eq!(seen(&[("bao", ""), ("openbao", "x"), ("vault", "y")]), nothing);
        assert_eq!(seen(&[("openbao", ""), ("vault", "y")]), nothing);
        assert_eq!(seen(&[("BAO", "x"), ("Vault", "y"), ("latchkey", "z")]), nothing, "case counts");
    }
    let plan = with(&[ROLE, ("openbaoNamespace", "x"), ("baoAuthMountPath", "x")]).unwrap();
    assert_eq!(
        (&*access(&plan).namespace, &*access(&plan).mount),
        ("", "kubernetes"),
        "Vault's has one prefix"
    );
}

#[test]
fn both_spellings_of_the_auth_mount_are_a_conflict_even_when_they_say_nothing() {
    for (old, new) in [("x", "y"), ("x", "x"), ("", "y"), ("x", ""), ("", "")] {
        let words = [ROLE, ("vaultKubernetesMountPath", old), ("vaultAuthMountPath", new)];
        let problem = only(with(&words), Reason::Invalid, "vaultKubernetesMountPath");
        assert!(problem.what.contains("`vaultAuthMountPath`"), "{problem}");
    }
    let words = [ROLE, ("baoKubernetesMountPath", ""), ("vaultAuthMountPath", "y")];
    only(with_in(Flavour::OpenBao, &words, &usual()), Reason::Invalid, "baoKubernetesMountPath");
}

#[test]
fn an_address_that_is_the_administrators_means_that_very_endpoint() {
    let text = "stores:\n  vault: { address: \"https://vault.corp:8200\", ca: /ca.pem }\n  \
                near: { kind: vault, address: \"http://127.0.0.1:8200/base\", ca: /near.pem }\n";
    let catalog = catalog(text, &[]);
    for (address, origin, ca) in [
        ("https://vault.corp:8200", Origin::Administrator, "/ca.pem"),
        ("HTTPS://VAULT.corp:8200/", Origin::Administrator, "/ca.pem"),
        ("http://127.0.0.1:8200/base/", Origin::Administrator, "/near.pem"),
        // Anything else is a tenant's, with the roots of the store.
        ("http://127.0.0.1:8200", Origin::Tenant, "/ca.pem"),
        ("http://vault.corp:8200", Origin::Tenant, "/ca.pem"),
        ("https://vault.corp", Origin::Tenant, "/ca.pem"),
        ("https://vault.corp.:8200", Origin::Tenant, "/ca.pem"),
        ("unix:///run/agent.sock", Origin::Tenant, "/ca.pem"),
    ] {
        let plan = with_in(Flavour::Vault, &[ROLE, ("vaultAddress", address)], &catalog).unwrap();
        let endpoint = &access(&plan).endpoint;
        assert_eq!((endpoint.origin, &endpoint.tls.ca), (origin, &Some(ca.into())), "{address}");
    }
}

#[test]
fn an_address_that_is_none_or_hides_another_is_not_permitted_and_not_repeated() {
    for address in [
        "vault.corp:8200",
        "//vault.corp",
        "ftp://vault.corp",
        "https://vault.corp:99999",
        "https://vault.corp:8200 ",
        "https://vault.corp:8200\n",
        "https://user:hunter2@vault.corp:8200",
        "https://vault.corp\\@hunter2.example",
        "unix://agent.sock",
    ] {
        let problem = only(with(&[ROLE, ("vaultAddress", address)]), Reason::Policy, "vaultAddress");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}

#[test]
fn without_any_address_the_text_says_who_can_set_which() {
    for (flavour, store, variable, parameter) in [
        (Flavour::Vault, "stores.vault.address", "VAULT_ADDR", "vaultAddress"),
        (Flavour::OpenBao, "stores.openbao.address", "BAO_ADDR", "openbaoAddress"),
    ] {
        let problem = only(with_in(flavour, &[ROLE], &catalog("", &[])), Reason::Setup, parameter);
        assert!(problem.remedy.contains(store) && problem.remedy.contains(variable), "{problem}");
    }
}

#[test]
fn booleans_are_spelled_as_in_go() {
    for (words, skip) in
        [(["1", "t", "T", "TRUE", "true", "True"], true), (["0", "f", "F", "FALSE", "false", "False"], false)]
    {
        for word in words {
            let plan = with(&[ROLE, ("vaultSkipTLSVerify", word)]).unwrap();
            let endpoint = &access(&plan).endpoint;
            assert_eq!((endpoint.tls.skip_verify, endpoint.origin), (skip, Origin::Administrator), "{word}");
        }
    }
    for word in ["", "yes", "on", "tRUE", "true ", "2", "null"] {
        only(with(&[ROLE, ("vaultSkipTLSVerify", word)]), Reason::Invalid, "vaultSkipTLSVerify");
    }
}

#[test]
fn files_of_the_agents_own_travel_with_the_plan_or_are_refused() {
    let catalog = catalog("stores: { vault: { address: \"https://vault.corp\", ca: /ca.pem } }", &[]);
    // Policy sees by the endpoint which file is not the administrator's.
    for (ca, wanted) in [("/etc/other.pem", "/etc/other.pem"), ("/ca.pem", "/ca.pem"), ("", "/ca.pem")] {
        let plan = with_in(Flavour::Vault, &[ROLE, ("vaultCACertPath", ca)], &catalog).unwrap();
        let endpoint = &access(&plan).endpoint;
        assert_eq!(endpoint.tls.ca, Some(wanted.into()));
        assert_eq!(endpoint.origin, Origin::Administrator);
    }
    for name in ["vaultTLSClientCertPath", "vaultTLSClientKeyPath"] {
        only(with(&[ROLE, (name, "/x")]), Reason::Policy, name);
        with(&[ROLE, (name, "")]).unwrap();
    }
    let words = [
        ROLE,
        ("vaultCADirectory", "/cas"),
        ("vaultTLSClientCertPath", "/c"),
        ("vaultTLSClientKeyPath", "/k"),
    ];
    let plan = with(&words).unwrap();
    let files: Vec<_> =
        access(&plan).endpoint.tls.files().map(|file| file.to_str().unwrap().to_owned()).collect();
    assert_eq!(files, ["/cas", "/c", "/k"]);
    let said = &plan.sources()[0].said.files;
    let named =
        |file: &str| said.iter().find(|(said, _)| said.as_os_str() == file).map(|(_, name)| name.as_str());
    assert_eq!(
        ["/cas", "/c", "/k"].map(named),
        [Some("vaultCADirectory"), Some("vaultTLSClientCertPath"), Some("vaultTLSClientKeyPath")]
    );
    // A file goes before what is spelled out, and that before a folder.
    for (words, wanted) in [
        (&[("vaultCADirectory", "/d"), ("vaultCACert", PEM), ("vaultCACertPath", "/f")][..], "/f".into()),
        (&[("vaultCADirectory", "/d"), ("vaultCACert", PEM)], Ca::Pem(PEM.into())),
        (&[("vaultCADirectory", "/d"), ("vaultCACert", "")], "/d".into()),
    ] {
        let plan = with_in(Flavour::Vault, &[&[ROLE], words].concat(), &catalog).unwrap();
        assert_eq!(access(&plan).endpoint.tls.ca, Some(wanted));
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

#[test]
fn authorities_may_be_spelled_out_and_look_like_that() {
    for text in ["/ca.pem", "AAAA", "-----BEGIN PRIVATE KEY-----\n", &format!("{PEM}{}", " x".repeat(40_000))]
    {
        only(with(&[ROLE, ("vaultCACert", text)]), Reason::Invalid, "vaultCACert");
    }
    let plan = with_in(
        Flavour::OpenBao,
        &[ROLE, ("baoCACert", PEM)],
        &catalog("stores: { openbao: { address: \"https://b\" } }", &[]),
    );
    assert_eq!(access(&plan.unwrap()).endpoint.tls.ca, Some(Ca::Pem(PEM.into())));
}

#[test]
fn a_server_name_is_a_dns_name_and_never_an_address_to_connect_to() {
    let name = |text: &str| with(&[ROLE, ("vaultTLSServerName", text)]);
    for (text, wanted) in [
        ("", None),
        ("VAULT.corp", None),
        ("Other.corp", Some("other.corp")),
        ("bücher.example", Some("xn--bcher-kva.example")),
    ] {
        assert_eq!(access(&name(text).unwrap()).endpoint.tls.name.as_deref(), wanted, "{text}");
    }
    for text in [
        "/x",
        "10.0.0.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "a b",
        "vault.corp:8200",
        "user@vault.corp",
        "a/b",
        "a%00b",
    ] {
        only(name(text), Reason::Invalid, "vaultTLSServerName");
    }
    // Where no certificate is asked for, nothing is checked by it.
    let plain = with(&[ROLE, ("vaultTLSServerName", "x"), ("vaultAddress", "http://plain")]).unwrap();
    assert_eq!(access(&plain).endpoint.tls.name, None);
}

#[test]
fn at_a_place_of_the_classs_nobody_is_shown_who_we_are_at_the_stores() {
    let text = "stores: { vault: { address: \"https://vault.corp\", ca: /ca.pem, serverName: a.corp, clientCertificate: /c, clientKey: /k } }";
    let catalog = catalog(text, &[]);
    for (address, own) in [("https://vault.corp", true), ("https://other.corp", false)] {
        let plan = with_in(Flavour::Vault, &[ROLE, ("vaultAddress", address)], &catalog).unwrap();
        let tls = &access(&plan).endpoint.tls;
        assert_eq!(
            (tls.client.is_some(), tls.name.is_some(), tls.ca.is_some()),
            (own, own, true),
            "{address}"
        );
    }
}

#[test]
fn auth_mounts_are_cleaned_and_escaped_and_do_not_leave_auth() {
    for (written, sent) in [
        ("k8s", "k8s"),
        ("/k8s/", "k8s"),
        ("a//b/./c", "a/b/c"),
        ("auth/kubernetes", "auth/kubernetes"),
        ("a b", "a%20b"),
        ("x?y=1", "x%3Fy=1"),
        ("x%2Fy#z", "x%252Fy%23z"),
        ("a+b", "a+b"),
        ("mé", "m%C3%A9"),
        ("a/../b", "b"),
    ] {
        let plan = with(&[ROLE, ("vaultAuthMountPath", written)]).unwrap();
        assert_eq!(&*access(&plan).mount, sent);
    }
    for written in ["..", "../sys", "a/../../x", ".", "/", "a/..", "../../v1/auth/../sys"] {
        let problem =
            only(with(&[ROLE, ("vaultAuthMountPath", written)]), Reason::Invalid, "vaultAuthMountPath");
        assert!(problem.what.contains("`auth/`"), "{problem}");
    }
}

#[test]
fn unknown_and_historical_keys_are_ignored() {
    let words = ["kubernetesServiceAccountPath", "vaultCAPem", "secrets", "Objects", "a b", "vaultaddress"];
    let plan = with(&[&[ROLE], &words.map(|name| (name, "x"))[..]].concat()).unwrap();
    assert_eq!(access(&plan), access(&with(&[ROLE]).unwrap()));
}

#[test]
fn everything_wrong_is_told_at_once() {
    let words = [
        ("vaultAddress", "nowhere"),
        ("vaultNamespace", "a\nb"),
        ("vaultAuthMountPath", ".."),
        ("vaultSkipTLSVerify", "maybe"),
        ("vaultCACert", "/etc"),
        (
            "objects",
            "[{ objectName: /a, method: \"\\n\" }, { objectName: b, encoding: x, secretKey: k }, { objectName: b }]",
        ),
    ];
    let problems = parse(Flavour::Vault, &words, &usual()).unwrap_err();
    let mut seen: Vec<_> =
        problems.iter().map(|one| one.place.parameter.clone().unwrap_or_default()).collect();
    seen.sort();
    let wanted = [
        "objects",
        "objects",
        "objects",
        "roleName",
        "vaultAddress",
        "vaultAuthMountPath",
        "vaultCACert",
        "vaultNamespace",
        "vaultSkipTLSVerify",
    ];
    assert_eq!(seen, wanted, "{problems}");
}

#[test]
fn the_lists_of_parameters_name_each_once_and_all_that_are_read() {
    for (flavour, count) in [(Flavour::Vault, 15), (Flavour::OpenBao, 39)] {
        let mut names: Vec<&str> = Vault { flavour }.params().iter().map(|param| param.name).collect();
        assert_eq!(names.len(), count);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
