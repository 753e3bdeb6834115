//! Where a class may lead.

use latchkey::model::endpoint::Client;
use latchkey::model::locator::vault::Defaults;
use latchkey::model::{Access, Address, Origin, Tls};
use latchkey::policy::{Policy, Site, permit};
use proptest::prelude::*;

use super::{catalog, configured, get, judge, offer, pasted, plan, policy, reads, refused, subject, tenant};

fn allowing(sites: &[&str]) -> Policy {
    policy(&format!("{{ endpoints: {{ allow: {} }} }}", serde_json::to_string(sites).unwrap()))
}

fn allowed(sites: &[&str], address: &str) -> bool {
    judge(&reads(tenant(address)), &allowing(sites)).is_ok()
}

#[test]
fn an_address_is_compared_after_parsing() {
    for (site, same, others) in [
        (
            "https://vault.corp",
            &[
                "https://vault.corp/",
                "https://vault.corp:443",
                "HTTPS://VAULT.Corp/v1/base",
                "https://va%75lt.corp",
                "https://user:pass@vault.corp",
                "https://vault.corp\\@evil.com",
                "https://vault.corp?x#y",
                "https://ｖault.corp",
            ][..],
            &[
                "http://vault.corp",
                "http://vault.corp:443",
                "https://vault.corp:8200",
                "https://vault.corp.",
                "https://vault.corp.evil.com",
                "https://evil.com/vault.corp",
                "https://evil.com?vault.corp",
                "https://evil.com#vault.corp",
                "https://vault.corp@evil.com",
                "https://evil.com\\@vault.corp",
                "https://vault.corp:443@evil.com",
                "https://vаult.corp",
                "https://xvault.corp",
                "https://sub.vault.corp",
                "https://corp",
            ][..],
        ),
        (
            "https://vault.corp:8200",
            &["https://vault.corp:8200"],
            &["https://vault.corp", "https://vault.corp:820"][..],
        ),
        ("http://vault.corp", &["http://vault.corp:80"], &["https://vault.corp:80"][..]),
        ("https://bücher.example", &["https://xn--bcher-kva.example"], &["https://bucher.example"][..]),
        ("https://vault.corp.", &["https://vault.corp."], &["https://vault.corp"][..]),
    ] {
        for address in same {
            assert!(allowed(&[site], address), "{site} and {address} are the same");
        }
        for address in others {
            assert!(!allowed(&[site], address), "{site} and {address} are two");
        }
    }
}

#[test]
fn a_star_is_one_whole_label() {
    let site = "https://*.vault.azure.net";
    for address in
        ["https://kv.vault.azure.net", "https://KV-2.vault.azure.net/", "https://_x.vault.azure.net"]
    {
        assert!(allowed(&[site], address), "{address}");
    }
    for address in [
        "https://vault.azure.net",
        "https://.vault.azure.net",
        "https://a.b.vault.azure.net",
        "https://kv.vault.azure.net.",
        "https://kv.vault.azure.net.evil.com",
        "https://kvvault.azure.net",
        "https://*.vault.azure.net",
        "http://kv.vault.azure.net",
        "https://kv.vault.azure.net:8443",
    ] {
        assert!(!allowed(&[site], address), "{address}");
    }
    assert!(allowed(&["https://vault.*.corp"], "https://vault.eu.corp"));
    assert!(!allowed(&["https://vault.*.corp"], "https://vault..corp"));
}

#[test]
fn a_literal_address_is_allowed_only_as_itself_however_it_is_written() {
    let everything = ["https://*", "https://*.*", "https://*.*.*.*", "http://*", "http://*.*.*.*"];
    for (address, itself) in [
        ("https://127.0.0.1", "https://127.0.0.1"),
        ("https://127.1", "https://127.0.0.1"),
        ("https://2130706433", "https://127.0.0.1"),
        ("https://0x7f000001", "https://127.0.0.1"),
        ("https://0177.0.0.1", "https://127.0.0.1"),
        ("https://127.0.0.1.", "https://127.0.0.1"),
        ("https://１２７.0.0.1", "https://127.0.0.1"),
        ("http://169.254.169.254", "http://169.254.169.254"),
        ("http://0xA9FEA9FE", "http://169.254.169.254"),
        ("https://0", "https://0.0.0.0"),
        ("https://10.0.0.7:8200", "https://10.0.0.7:8200"),
        ("https://[::1]", "https://[::1]"),
        ("https://[0:0:0:0:0:0:0:1]:443", "https://[::1]"),
        ("https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]"),
        ("http://[fd00:ec2::254]", "http://[fd00:ec2::254]"),
    ] {
        assert!(!allowed(&everything, address), "{address} fits no pattern");
        assert!(allowed(&[itself], address), "{address} is {itself}");
        let problem = refused(&reads(tenant(address)), &Policy::default());
        assert_eq!(offer(&problem).unwrap().1, format!("\"{itself}\""));
    }
    // One written as the other is another.
    assert!(!allowed(&["https://127.0.0.1"], "https://[::ffff:127.0.0.1]"));
    assert!(!allowed(&["https://[::ffff:127.0.0.1]"], "https://127.0.0.1"));
}

#[test]
fn an_address_of_the_nodes_own_is_called_so() {
    for address in
        ["https://127.0.0.1", "http://169.254.169.254", "https://[fe80::1]", "https://[64:ff9b::7f00:1]"]
    {
        let problem = refused(&reads(tenant(address)), &Policy::default());
        assert!(problem.what.contains("the node's own"), "{problem}");
    }
    assert!(!refused(&reads(tenant("https://10.0.0.7")), &Policy::default()).what.contains("own"));
}

#[test]
fn a_socket_is_never_a_classs_to_name() {
    let problem = refused(&reads(tenant("unix:///run/vault.sock")), &allowing(&["https://*"]));
    assert_eq!((offer(&problem), problem.what.contains("socket")), (None, true), "{problem}");
    assert!(Site::parse("unix:///run/vault.sock").is_none(), "no line can allow it");
}

#[test]
fn the_administrators_and_our_own_endpoints_are_used_as_given() {
    for address in ["https://vault.corp", "http://127.0.0.1:8100", "unix:///run/agent.sock"] {
        judge(&reads(configured(address)), &Policy::default()).unwrap();
        let mut access = tenant(address);
        access.endpoint.origin = Origin::Builtin;
        judge(&reads(access), &Policy::default()).unwrap();
    }
}

#[test]
fn an_endpoint_is_refused_once_with_the_objects_that_it_is_for() {
    let mut as_another = tenant("https://one.corp/base");
    as_another.role = "other".into();
    let objects = [
        (tenant("https://one.corp"), "secret/data/a"),
        (as_another, "secret/data/b"),
        (tenant("https://two.corp"), "secret/data/c"),
    ];
    let plan = plan(objects.map(|(access, path)| (Access::Vault(access), get(path))));
    let problems = judge(&plan, &Policy::default()).unwrap_err();
    let found: Vec<(String, String)> = problems
        .iter()
        .map(|problem| (offer(problem).unwrap().1, problem.place.object.clone().unwrap()))
        .collect();
    let wanted = [
        ("\"https://one.corp\"", "secret `s0` (vault secret/data/a), secret `s1` (vault secret/data/b)"),
        ("\"https://two.corp\"", "secret `s2` (vault secret/data/c)"),
    ];
    assert_eq!(found, wanted.map(|(line, objects)| (line.to_owned(), objects.to_owned())));
    assert_eq!(
        problems.iter().next().unwrap().to_string(),
        "secret `s0` (vault secret/data/a), secret `s1` (vault secret/data/b): the address `https://one.corp` is not \
         permitted; the administrator may add to `policy.endpoints.allow`: - \"https://one.corp\""
    );
}

#[test]
fn many_objects_leave_the_line_to_add_on_the_page() {
    let objects =
        (0..400).map(|n| (Access::Vault(tenant("https://one.corp")), get(&format!("secret/data/{n}"))));
    let text = judge(&plan(objects), &Policy::default()).unwrap_err().text();
    assert!(text.contains("and 38") && text.ends_with("- \"https://one.corp\""), "{text}");
}

#[test]
fn any_certificate_is_believed_only_where_it_is_listed() {
    let mut access = tenant("https://vault.corp:8200");
    access.endpoint.tls.skip_verify = true;
    let reached = "endpoints: { allow: [\"https://vault.corp:8200\"] }";
    let problem = refused(&reads(access.clone()), &policy(&format!("{{ {reached} }}")));
    assert_eq!(
        offer(&problem).unwrap(),
        ("policy.skipVerify".to_owned(), "\"https://vault.corp:8200\"".to_owned())
    );
    let listed = |site: &str| policy(&format!("{{ {reached}, skipVerify: [\"{site}\"] }}"));
    judge(&reads(access.clone()), &listed("https://vault.corp:8200")).unwrap();
    refused(&reads(access.clone()), &listed("https://vault.corp"));
    // Being listed here does not open the way.
    let only = policy("{ skipVerify: [\"https://vault.corp:8200\"] }");
    assert_eq!(offer(&refused(&reads(access), &only)).unwrap().0, "policy.endpoints.allow");
}

#[test]
fn the_administrators_tls_settings_are_the_administrators() {
    let client = Client { certificate: "/etc/own.pem".into(), key: "/etc/own.key".into() };
    let relaxed =
        Tls { ca: Some("/etc/ca.pem".into()), client: Some(client.into()), skip_verify: true, name: None };
    let mut access = configured("https://vault.corp");
    access.endpoint.tls = relaxed.clone();
    let by_hand = Defaults { endpoint: Some(access.endpoint.clone()), ..Defaults::default() };
    let judged = |settings: Defaults| {
        let listed = policy("{ skipVerify: [\"https://vault.corp\"] }");
        let judged =
            |policy| permit(reads(access.clone()), &subject(), policy, &catalog(settings.clone())).map(drop);
        // To believe any certificate is said twice, whoever says it first.
        let none = Policy::default();
        let unlisted = judged(&none).unwrap_err();
        assert!(
            unlisted.iter().any(|problem| offer(problem).is_some_and(|offer| offer.0 == "policy.skipVerify"))
        );
        judged(&listed)
    };
    judged(by_hand).unwrap();
    // What the class added to the administrator's endpoint is the class's.
    let strict =
        Defaults { endpoint: Some(configured("https://vault.corp").endpoint), ..Defaults::default() };
    assert_eq!(judged(strict).unwrap_err().iter().count(), 3);
}

#[test]
fn a_file_is_named_by_a_class_only_where_it_is_listed() {
    let mut access = tenant("https://vault.corp");
    let reached = "endpoints: { allow: [\"https://vault.corp\"] }";
    for (file, line) in [
        ("/etc/ca.pem", Some("\"/etc/ca.pem\"")),
        ("/proc/self/environ", Some("\"/proc/self/environ\"")),
        ("/etc/ca.pem/../../shadow", None),
        ("../../etc/shadow", None),
        ("/etc//ca.pem", Some("\"/etc//ca.pem\"")),
    ] {
        access.endpoint.tls.ca = Some(file.into());
        let problem = refused(&reads(access.clone()), &policy(&format!("{{ {reached} }}")));
        assert_eq!(offer(&problem).map(|offer| offer.1).as_deref(), line, "{problem}");
        let listed = policy(&format!("{{ {reached}, files: {{ allow: [/etc/ca.pem] }} }}"));
        assert_eq!(judge(&reads(access.clone()), &listed).is_ok(), file == "/etc/ca.pem", "{file}");
    }
    // The file that the administrator gave to the store is not the class's word.
    access.endpoint.tls.ca = Some("/etc/own.pem".into());
    let tls = Tls { ca: Some("/etc/own.pem".into()), ..Tls::default() };
    let settings = catalog(Defaults { tls, ..Defaults::default() });
    permit(reads(access), &subject(), &policy(&format!("{{ {reached} }}")), &settings).unwrap();
}

#[test]
fn the_administrators_client_certificate_is_shown_at_the_administrators_server_alone_whoever_names_its_files()
{
    let client = Client { certificate: "/etc/own.pem".into(), key: "/etc/own.key".into() };
    let tls = Tls { client: Some(client.into()), ..Tls::default() };
    let mut own = configured("https://vault.corp").endpoint;
    own.tls = tls.clone();
    let settings = catalog(Defaults { endpoint: Some(own.clone()), tls: tls.clone(), ..Defaults::default() });
    let reached = policy("{ endpoints: { allow: [\"https://elsewhere.corp\"] } }");
    let mut access = tenant("https://elsewhere.corp");
    access.endpoint.tls = tls.clone();
    let problems = permit(reads(access), &subject(), &reached, &settings).map(drop).unwrap_err();
    let offers = problems.iter().map(|problem| offer(problem).unwrap());
    assert_eq!(
        offers.collect::<Vec<_>>(),
        ["\"/etc/own.key\"", "\"/etc/own.pem\""]
            .map(|file| ("policy.files.allow".to_owned(), file.to_owned()))
    );
    // There, a class may have authorities of its own.
    let mut access = configured("https://vault.corp");
    access.endpoint.tls = Tls { name: Some("other.corp".into()), ..tls };
    permit(reads(access), &subject(), &reached, &settings).unwrap();
}

/// Addresses that a tenant may think of, near to the site `https://vault.corp:8200` and far from it.
fn addresses() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![3 => Just("https"), 1 => Just("http"), 1 => Just("HtTpS")];
    let user = prop_oneof![3 => Just(""), 1 => Just("vault.corp@"), 1 => Just("a:b@")];
    let label = prop_oneof![3 => Just("vault".to_owned()), 1 => "[a-z0-9*_-]{0,4}", 1 => "\\PC{0,2}"];
    let host = prop_oneof![
        4 => prop::collection::vec(label, 1..4).prop_map(|labels| labels.join(".")),
        1 => Just("vault.corp".to_owned()),
        1 => any::<u32>().prop_map(|ip| ip.to_string()),
        1 => any::<u128>().prop_map(|ip| format!("[{}]", std::net::Ipv6Addr::from(ip))),
    ];
    let port = prop_oneof![2 => Just(String::new()), 2 => Just(":8200".to_owned()), 1 => any::<u16>().prop_map(|port| format!(":{port}"))];
    let rest = prop_oneof![Just(""), Just("/"), Just("/v1"), Just("\\@vault.corp"), Just("?a#b"), Just(".")];
    (scheme, user, host, port, rest)
        .prop_map(|(scheme, user, host, port, rest)| format!("{scheme}://{user}{host}{port}{rest}"))
}

proptest! {
    #[test]
    fn what_no_site_is_is_refused_and_the_line_that_is_printed_allows_it(text in addresses()) {
        let Some(address) = Address::parse(&text) else { return Ok(()) };
        let sites = allowing(&["https://vault.corp:8200", "http://*.vault"]);
        let expected = match &address {
            Address::Web { secure: true, host, port: 8200, .. } => host.to_string() == "vault.corp",
            Address::Web { secure: false, host: url::Host::Domain(name), port: 80, .. } => {
                let label = name.strip_suffix(".vault").unwrap_or_default();
                !label.is_empty() && !label.contains(['.', '*'])
            }
            Address::Web { .. } | Address::Unix(_) => false,
        };
        let plan = reads(tenant(&text));
        prop_assert_eq!(judge(&plan, &sites).is_ok(), expected);
        let problem = refused(&plan, &Policy::default());
        if let Some(offer) = offer(&problem) {
            prop_assert!(judge(&plan, &pasted(&offer)).is_ok(), "{} does not allow {}", offer.1, text);
            prop_assert!(!offer.1.contains('*'));
            // And no other.
            let site = address.site();
            for other in [site.replacen("://", "://x", 1), format!("{site}1"), site.replacen("s://", "://", 1)] {
                let elsewhere = Address::parse(&other).is_some_and(|other| other.site() != site);
                if elsewhere {
                    prop_assert!(judge(&reads(tenant(&other)), &pasted(&offer)).is_err(), "{}", other);
                }
            }
        }
    }
}
