//! Pure: the configuration file, read whole, with every problem and what was probably meant.

use std::time::Duration;

use latchkey::config::{Config, Store, parse};
use latchkey::error::{Problems, Reason};
use proptest::prelude::*;

fn read(text: &str) -> Result<Config, Problems> {
    parse(text, |_| None)
}

fn refused(text: &str) -> String {
    let problems = read(text).unwrap_err();
    assert_eq!(problems.reason(), Reason::Invalid, "{problems}");
    problems.text()
}

#[test]
fn an_empty_file_has_every_default() {
    let config = read("").unwrap();
    assert!(config.stores.is_empty() && config.version_key.is_none() && config.audit.file.is_none());
    assert_eq!((config.limits.mounts, config.limits.answer_bytes), (1024, (4 << 20) - (64 << 10)));
    assert_eq!(config.drain, Duration::from_secs(25));
    assert!(!config.audit.required && !config.audit_all_polls);
}

#[test]
fn the_defaults_that_the_page_tells_are_those_that_hold() {
    let page = latchkey::config::reference();
    let rows = page.lines().filter_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (section, key) = cells.get(1)?.trim_matches('`').split_once('.')?;
        let told = matches!(section, "limits" | "audit") && !cells[3].contains(' ');
        told.then(|| format!("{section}: {{ {key}: {} }}\n", cells[3]))
    });
    let rows: Vec<String> = rows.collect();
    assert_eq!(rows.len(), 9, "{rows:?}");
    for row in rows {
        assert_eq!(format!("{:?}", read(&row).unwrap()), format!("{:?}", read("").unwrap()), "{row}");
    }
}

#[test]
fn every_key_is_read() {
    let config = read(
        "stores:\n  local: { file: /a, identity: /b, issuer: i, jwks: /j, audience: l }\n  two: { kind: local, file: /c, identity: /d }\n\
         policy: { rules: [] }\nversions: { keyFile: /k }\n\
         limits: { mountsInFlight: 7, answerBytes: 2048, drain: 3s, livezAfter: 200ms, exitAfter: 1m }\n\
         audit: { sink: /log, polls: all, required: true, queueLines: 99 }\n",
    );
    let config = config.unwrap();
    let [Store::Local(local), Store::Local(two)] = &config.stores[..] else { panic!("two stores") };
    assert_eq!((local.name.as_str(), two.name.as_str()), ("local", "two"));
    let verify = local.verify.as_ref().unwrap();
    assert_eq!((&*verify.issuer, verify.audience.as_str()), ("i", "l"));
    assert!(two.verify.is_none());
    assert_eq!((config.limits.mounts, config.limits.answer_bytes), (7, 2048));
    assert_eq!(config.drain, Duration::from_secs(3));
    assert_eq!(config.patience.unwell, Duration::from_millis(200));
    assert_eq!(config.patience.dead, Duration::from_secs(60));
    assert!(config.audit.required && config.audit_all_polls && config.audit.queue_lines == 99);
    assert_eq!(config.audit.file.unwrap().to_str(), Some("/log"));
    assert_eq!(config.version_key.unwrap().to_str(), Some("/k"));
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    for (text, path, near) in [
        ("audit: { snik: stdout }", "audit.snik", "`sink`"),
        ("polcy: {}", "polcy", "`policy`"),
        ("stores: { local: { file: /a, identity: /b, isuer: x } }", "stores.local.isuer", "`issuer`"),
        ("policy: { rules: [{ namespace: [a] }] }", "policy.rules", "`namespaces`"),
    ] {
        let text = refused(text);
        assert!(text.contains(path) && text.contains(&format!("did you mean {near}?")), "{text}");
        assert!(text.contains("line 1, column"), "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = refused(
        "stores:\n  local: { file: 7s }\n  Vault: {}\n  aws: { region: x }\nlimits: { drain: soon, mountsInFlight: 0, answerBytes: -1 }\n\
         audit: { polls: some, required: maybe }\nversions: []\n",
    );
    for path in [
        "stores.local.identity",
        "stores.Vault",
        "stores.aws",
        "limits.drain",
        "limits.mountsInFlight",
        "limits.answerBytes",
        "audit.polls",
        "audit.required",
        "versions",
    ] {
        assert!(text.contains(&format!("parameter {path},")), "{path} in {text}");
    }
}

#[test]
fn issuer_jwks_and_audience_come_together_or_not_at_all() {
    let text = refused("stores: { local: { file: /a, identity: /b, jwks: /j } }");
    assert!(text.contains("stores.local.issuer") && text.contains("stores.local.audience"), "{text}");
}

#[test]
fn a_process_may_not_end_before_it_is_unwell() {
    assert!(refused("limits: { livezAfter: 10s, exitAfter: 5s }").contains("limits.exitAfter"));
}

#[test]
fn a_key_with_nothing_behind_it_is_no_key_that_was_left_out() {
    for (text, path) in [
        ("policy:\n  rules:\n  # - { namespaces: [a] }\n", "policy.rules"),
        ("stores: { local: { file: /a, identity: /b, issuer: , jwks: , audience: } }", "stores.local.issuer"),
        ("audit: { required: ~ }", "audit.required"),
    ] {
        let text = refused(text);
        assert!(text.contains(path) && text.contains("has no value"), "{text}");
    }
    assert!(read("policy:\nlimits:\naudit:\n").is_ok(), "a section may be empty");
}

#[test]
fn numbers_out_of_reason_are_refused() {
    for text in [
        "limits: { mountsInFlight: 9999999999999999999 }",
        "limits: { mountsInFlight: 0 }",
        "limits: { drain: 0s }",
        "limits: { drain: 25h }",
        "audit: { queueLines: 99999999 }",
    ] {
        refused(text);
    }
}

#[test]
fn the_environment_stands_in_for_a_local_store_that_the_file_does_not_name() {
    let environment = |name: &str| match name {
        "LATCHKEY_LOCAL_FILE" => Some("/env.age".to_owned()),
        "LATCHKEY_LOCAL_IDENTITY" => Some("/env.txt".to_owned()),
        _ => None,
    };
    let config = parse("", environment).unwrap();
    let [Store::Local(store)] = &config.stores[..] else { panic!("one store") };
    assert_eq!((store.name.as_str(), store.file.to_str()), ("local", Some("/env.age")));
    let config = parse("stores: { local: { file: /a, identity: /b } }", environment).unwrap();
    let [Store::Local(store)] = &config.stores[..] else { panic!("the file's word counts") };
    assert_eq!(store.file.to_str(), Some("/a"));
    let half = |name: &str| environment(name).filter(|_| name.ends_with("FILE"));
    let text = parse("", half).unwrap_err().text();
    assert!(
        text.contains("LATCHKEY_LOCAL_IDENTITY: is not set"),
        "one without the other helps nobody: {text}"
    );
}

#[cfg(feature = "net")]
#[test]
fn the_environment_names_proxies_and_authorities_in_capitals_or_not() {
    let capitals = |name: &str| match name {
        "HTTPS_PROXY" | "https_proxy" => Some(format!("http://{name}:3128")),
        "http_proxy" => Some("http://plain:3128".to_owned()),
        "NO_PROXY" => Some(".corp,10.0.0.0/8".to_owned()),
        "SSL_CERT_FILE" => Some("/ca.pem".to_owned()),
        _ => None,
    };
    let net = parse("", capitals).unwrap().net;
    assert_eq!(net.https_proxy.as_deref(), Some("http://HTTPS_PROXY:3128"), "capitals go first");
    assert_eq!(net.http_proxy.as_deref(), Some("http://plain:3128"));
    assert_eq!(net.no_proxy.as_deref(), Some(".corp,10.0.0.0/8"));
    assert_eq!(net.ca.as_deref(), Some(std::path::Path::new("/ca.pem")));
    assert!(!format!("{net:?}").contains("3128"), "a proxy's URL may hold a password");
    let net = read("").unwrap().net;
    assert!(net.https_proxy.is_none() && net.http_proxy.is_none() && net.ca.is_none());
}

/// A key at every depth, and of every kind of value.
const PATHS: [&str; 12] = [
    "stores",
    "stores.local",
    "stores.local.file",
    "stores.local.issuer",
    "policy",
    "policy.rules",
    "policy.rules.stores",
    "versions.keyFile",
    "limits.mountsInFlight",
    "limits.drain",
    "audit.polls",
    "audit.required",
];

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_shape_of_a_known_key_makes_it_panic(at in 0..PATHS.len(), value in "(\\[\\]|\\{\\}|null|7|\\[7\\]|\\[\\{\\}\\]|\"\"|x)") {
        let path = PATHS[at];
        let text = path.rsplit('.').fold(value, |inner, key| format!("{{ {key}: {inner} }}"));
        if let Err(problems) = read(&text) {
            prop_assert_eq!(problems.reason(), Reason::Invalid);
            prop_assert!(problems.iter().all(|problem| problem.place.parameter.is_some()));
        }
    }
}
