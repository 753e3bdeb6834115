//! Pure: the configuration file, read whole, with every problem and what was probably meant.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use latchkey::config::{Change, Config, Store, Watch, parse};
use latchkey::error::{Problems, Reason};
use latchkey::model::locator::vault;
use latchkey::model::{Defaults, Origin};
use latchkey::telemetry::log::Level;
use proptest::prelude::*;

pub(crate) fn read(text: &str) -> Result<Config, Problems> {
    parse(text, |_| None)
}

/// The stores that the text or the environment asks for, besides those that are always there.
fn local(config: &Config) -> Vec<&Store> {
    config.stores.iter().filter(|store| !matches!(store, Store::Vault(_))).collect()
}

/// The Vault and OpenBao stores: name, what the administrator says, how fresh.
pub(crate) fn remote(config: &Config) -> Vec<(&str, &vault::Defaults, Option<Duration>)> {
    let remote = config.stores.iter().filter_map(|store| match store {
        Store::Vault(entry) => match &entry.defaults {
            Defaults::Vault(defaults) => Some((entry.store.as_str(), defaults, entry.fresh)),
            Defaults::Local(_) => None,
        },
        Store::Local(_) => None,
    });
    remote.collect()
}

fn refused(text: &str) -> String {
    let problems = read(text).unwrap_err();
    assert_eq!(problems.reason(), Reason::Invalid, "{problems}");
    problems.text()
}

#[test]
fn an_empty_file_has_every_default() {
    let config = read("").unwrap();
    assert!(local(&config).is_empty() && config.version_key.is_none() && config.audit.file.is_none());
    assert_eq!((config.limits.mounts, config.limits.answer_bytes), (1024, (4 << 20) - (64 << 10)));
    assert_eq!(config.drain, Duration::from_secs(25));
    assert!(!config.audit.required && !config.audit_all_polls);
    assert!(config.log_level.is_none() && config.policy.endpoints.is_empty());
}

#[test]
fn the_log_level_is_one_of_the_words() {
    assert_eq!(read("logLevel: debug").unwrap().log_level, Some(Level::Debug));
    assert!(refused("logLevel: loud").contains("logLevel, line 1, column 11: is not one of `error`"));
    assert!(refused("loglevel: debug").contains("did you mean `logLevel`?"));
}

#[test]
fn the_defaults_that_the_page_tells_are_those_that_hold() {
    let page = latchkey::config::reference();
    let rows = page.lines().filter_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (section, key) = cells.get(1)?.trim_matches('`').split_once('.')?;
        let told = matches!(section, "limits" | "audit" | "fresh" | "stale") && !cells[3].contains(' ');
        told.then(|| format!("{section}: {{ {key}: {} }}\n", cells[3]))
    });
    let rows: Vec<String> = rows.collect();
    assert_eq!(rows.len(), 32, "{rows:?}");
    for row in rows {
        assert_eq!(format!("{:?}", read(&row).unwrap()), format!("{:?}", read("").unwrap()), "{row}");
    }
}

#[test]
fn every_key_is_read() {
    let config = read(
        "stores:\n  local: { file: /a, identity: /b, issuer: i, jwks: /j, audience: l }\n  two: { kind: local, file: /c, identity: /d }\n\
         policy: { rules: [] }\nversions: { keyFile: /k }\n\
         limits: { mountsInFlight: 7, answerBytes: 2048, drain: 3s, livezAfter: 200ms, exitAfter: 1m,\n\
         \x20 operation: 9s, sessions: 5, cacheObjects: 6, cacheBytes: 8, pinned: 0s }\n\
         fresh: { min: 1s, max: 2s }\nstale: { max: 0s, firstMounts: true }\n\
         audit: { sink: /log, polls: all, required: true, queueLines: 99 }\n",
    );
    let config = config.unwrap();
    let [Store::Local(local), Store::Local(two)] = local(&config)[..] else { panic!("two stores") };
    assert_eq!((local.name.as_str(), two.name.as_str()), ("local", "two"));
    let verify = local.verify.as_ref().unwrap();
    assert_eq!((&*verify.issuer, verify.audience.as_str()), ("i", "l"));
    assert!(two.verify.is_none());
    assert_eq!((config.limits.mounts, config.limits.answer_bytes), (7, 2048));
    let (keep, seconds) = (config.limits.keep, Duration::from_secs);
    assert_eq!((keep.operation, keep.pinned, keep.stale_max), (seconds(9), seconds(0), seconds(0)));
    assert_eq!((keep.fresh_min, keep.fresh_max, keep.stale_first), (seconds(1), seconds(2), true));
    assert_eq!((keep.sessions, keep.objects, keep.bytes, keep.stateless), (5, 6, 8, false));
    assert_eq!(config.drain, Duration::from_secs(3));
    assert_eq!(config.patience.unwell, Duration::from_millis(200));
    assert_eq!(config.patience.dead, Duration::from_secs(60));
    assert!(config.audit.required && config.audit_all_polls && config.audit.queue_lines == 99);
    assert_eq!(config.audit.file.unwrap().to_str(), Some("/log"));
    assert_eq!(config.version_key.unwrap().to_str(), Some("/k"));
}

#[test]
fn what_is_fresh_for_at_least_longer_than_for_at_most_is_refused() {
    let text = refused("fresh: { min: 2h }");
    assert!(text.contains("fresh.max") && text.contains("shorter than `fresh.min`"), "{text}");
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
fn every_bound_of_the_calls_to_an_endpoint_is_a_key() {
    let budget = read(
        "limits: { callsInFlight: 1, callsPerPrincipal: 2, callsQueued: 3, callsPerSecond: 4, callsBurst: 5, \
         loginAttempts: 6, readAttempts: 7, attempt: 8s, backoff: 9s, backoffMax: 10s, breakerAfter: 11, \
         breakerOpen: 12s, breakerOpenMax: 13s }\n",
    )
    .unwrap()
    .limits
    .budget;
    let counts = [
        budget.in_flight,
        budget.per_principal,
        budget.queue,
        budget.per_second,
        budget.burst,
        budget.exchanges,
        budget.reads,
        budget.breaker_after,
    ];
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 11]);
    let spans =
        [budget.attempt, budget.backoff, budget.backoff_max, budget.breaker_open, budget.breaker_open_max];
    assert_eq!(spans.map(|span| span.as_secs()), [8, 9, 10, 12, 13]);
}

#[test]
fn the_largest_answer_fits_the_room_for_answers() {
    let room = |text: &str| read(text).unwrap().limits.room_bytes;
    assert_eq!(room(""), 32 << 20);
    assert_eq!(room("limits: { roomBytes: 16515072 }"), 16_515_072);
    assert_eq!(room("limits: { answerBytes: 50000000 }"), 200_000_000, "it grows with the answers");
    let text = refused("limits: { roomBytes: 16515071 }");
    assert!(text.contains("limits.roomBytes") && text.contains("four times `limits.answerBytes`"), "{text}");
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
    let [Store::Local(store)] = local(&config)[..] else { panic!("one store") };
    assert_eq!((store.name.as_str(), store.file.to_str()), ("local", Some("/env.age")));
    let config = parse("stores: { local: { file: /a, identity: /b } }", environment).unwrap();
    let [Store::Local(store)] = local(&config)[..] else { panic!("the file's word counts") };
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

#[test]
fn a_store_of_each_remote_kind_is_always_there() {
    let config = read("").unwrap();
    let stores = remote(&config);
    let [("vault", vault, None), ("openbao", openbao, None)] = stores[..] else { panic!("{stores:?}") };
    assert_eq!((vault.flavour.name(), openbao.flavour.name()), ("vault", "openbao"));
    assert!(vault.endpoint.is_none() && vault.role.is_none() && vault.mount.is_none());
}

#[test]
fn every_key_of_a_remote_store_is_read() {
    let config = read(
        "stores:\n  prod:\n    kind: openbao\n    address: HTTPS://Bao.corp:443/base/\n    ca: /ca.pem\n    authMount: /a b/\n    \
         namespace: team\n    role: \"{namespace}\"\n    audience: corp\n    audiences: [one, two]\n    fresh: 0\n  \
         vault: { address: \"unix:///agent.sock\", fresh: 5m }\n",
    )
    .unwrap();
    let stores = remote(&config);
    let [("prod", prod, Some(Duration::ZERO)), ("vault", vault, fresh), ("openbao", ..)] = stores[..] else {
        panic!("{stores:?}")
    };
    let endpoint = prod.endpoint.as_ref().unwrap();
    assert_eq!(
        (endpoint.to_string().as_str(), endpoint.origin),
        ("https://bao.corp/base", Origin::Administrator)
    );
    assert_eq!(endpoint.tls.ca, Some("/ca.pem".into()));
    assert_eq!(endpoint.tls, prod.tls);
    assert_eq!((prod.mount.as_deref(), prod.namespace.as_deref()), (Some("a%20b"), Some("team")));
    assert_eq!((prod.role.as_deref(), prod.flavour.name()), (Some("{namespace}"), "openbao"));
    assert_eq!(prod.audience.as_ref().unwrap().as_str(), "corp");
    assert_eq!(prod.audiences.iter().map(|one| one.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(vault.endpoint.as_ref().unwrap().to_string(), "unix:///agent.sock");
    assert_eq!(fresh, Some(Duration::from_secs(300)));
}

#[test]
fn variables_fill_what_the_file_leaves_open_of_stores_that_are_named_like_their_kind() {
    let all = |name: &str| {
        let known = ["VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "BAO_ADDR", "VAULT_TOKEN"];
        known.contains(&name).then(|| match name {
            "VAULT_ADDR" => "http://v".to_owned(),
            "BAO_ADDR" => "http://b".to_owned(),
            name => format!("/{name}"),
        })
    };
    let text = "stores:\n  vault: { namespace: file }\n  bare: { kind: vault }\n";
    let config = parse(text, all).unwrap();
    let seen: Vec<_> = remote(&config)
        .into_iter()
        .map(|(name, store, _)| {
            let address = store.endpoint.as_ref().map(ToString::to_string);
            let ca = store.tls.files().next().map(|ca| ca.display().to_string());
            (name.to_owned(), address, store.namespace.as_deref().map(str::to_owned), ca)
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            ("vault".to_owned(), some("http://v"), some("file"), some("/VAULT_CACERT")),
            ("bare".to_owned(), None, None, None),
            ("openbao".to_owned(), some("http://b"), some("/VAULT_NAMESPACE"), some("/VAULT_CACERT")),
        ]
    );
    assert_eq!(config.ignored, [("VAULT_TOKEN".to_owned(), "it would lend one identity to every pod")]);
    let text = parse("", |name| (name == "VAULT_ADDR").then(|| "nowhere".to_owned())).unwrap_err().text();
    // Once, though both stores read it.
    assert!(text.starts_with("invalid: parameter VAULT_ADDR: is not an address"), "{text}");
}

#[test]
fn what_a_remote_store_cannot_mean_is_refused_with_its_key() {
    for (store, path, words) in [
        ("vault: { serverName: \"10.0.0.1\" }", "stores.vault.serverName", "is no name"),
        ("vault: { clientKey: /k }", "stores.vault.clientKey", "is a half of certificate and key"),
        ("vault: { ca: \"-----BEGIN X\" }", "stores.vault.ca", "is no PEM of authorities"),
        ("vault: { skipVerify: maybe }", "stores.vault.skipVerify", ""),
        ("vault: { address: vault.corp }", "stores.vault.address", "is not an address"),
        ("vault: { authMount: .. }", "stores.vault.authMount", "names nothing below `auth/`"),
        ("vault: { namespace: \"a\\nb\" }", "stores.vault.namespace", "control character"),
        ("vault: { role: \"{pod}\" }", "stores.vault.role", "brace"),
        ("vault: { fresh: 2h }", "stores.vault.fresh", "from `0` to `1h`"),
        ("vault: { audiences: one }", "stores.vault.audiences", "should be a list; write it like"),
        ("vault: { file: /a }", "stores.vault.file", "no key of a store of the kind `vault`"),
        ("b: { kind: openbao, issuer: /a }", "stores.b.issuer", "of the kind `openbao`"),
        ("local: { file: /a, identity: /b, role: x }", "stores.local.role", "of the kind `local`"),
        ("b: { kind: Vault }", "stores.b", "does not have; did you mean `vault`?"),
        ("b: { address: \"https://b\" }", "stores.b", "does not have; add `kind:`"),
    ] {
        let text = refused(&format!("stores: {{ {store} }}"));
        assert!(text.contains(&format!("parameter {path}, line 1")) && text.contains(words), "{text}");
    }
}

/// A file with this text, watched.
fn watched(text: &str) -> (tempfile::TempDir, PathBuf, Watch) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latchkey.yaml");
    fs::write(&path, text).unwrap();
    let (watch, _) = Watch::open(&path).unwrap();
    (folder, path, watch)
}

fn taken(watch: &mut Watch) -> Change {
    watch.look().expect("a change is seen").unwrap()
}

#[test]
fn a_watch_sees_each_change_once_and_nothing_else() {
    let (_folder, path, mut watch) = watched("logLevel: warn\n");
    assert!((0..3).all(|_| watch.look().is_none()));
    fs::write(&path, "logLevel: info\n").unwrap();
    assert_eq!(taken(&mut watch).config.log_level, Some(Level::Info));
    assert!((0..3).all(|_| watch.look().is_none()));
    // Touched, or replaced by its equal: nothing to say.
    let new = path.with_extension("new");
    fs::write(&new, "logLevel: info\n").unwrap();
    fs::rename(&new, &path).unwrap();
    assert!((0..3).all(|_| watch.look().is_none()));
}

#[test]
fn a_change_within_one_tick_of_the_file_systems_clock_is_seen_a_look_later() {
    let (_folder, path, mut watch) = watched("logLevel: warn\n");
    watch.look();
    watch.look();
    let modified = |to: &str| {
        fs::write(&path, to).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(7)).unwrap();
    };
    modified("logLevel: info\n");
    assert_eq!(taken(&mut watch).config.log_level, Some(Level::Info));
    modified("logLevel: warn\n");
    assert_eq!(taken(&mut watch).config.log_level, Some(Level::Warn), "same size, same time");
}

#[test]
fn a_file_that_is_being_written_takes_no_rule_away() {
    let (_folder, path, mut watch) = watched("policy: { rules: [] }\n");
    for empty in ["", "\n"] {
        fs::write(&path, empty).unwrap();
        let problems = watch.look().expect("a change is seen").expect_err("all would be allowed");
        assert!(problems.text().contains("is empty"), "{}", problems.text());
        assert!((0..3).all(|_| watch.look().is_none()), "once");
    }
    fs::write(&path, "{}\n").unwrap();
    taken(&mut watch);
}

#[test]
fn a_watch_tells_a_bad_or_absent_file_once_and_takes_the_next_good_one() {
    let (_folder, path, mut watch) = watched("logLevel: warn\n");
    for spoil in [(|path| fs::write(path, "logLevel: loud\n").unwrap()) as fn(&PathBuf), |path| {
        fs::remove_file(path).unwrap()
    }] {
        spoil(&path);
        assert!(watch.look().expect("a change is seen").is_err());
        assert!((0..3).all(|_| watch.look().is_none()), "once");
        fs::write(&path, "logLevel: warn\n").unwrap();
        assert_eq!(taken(&mut watch).config.log_level, Some(Level::Warn), "though it is the old text");
    }
}

#[test]
fn keys_that_wait_for_a_start_are_told_once_and_no_longer_when_they_are_as_they_were() {
    let (_folder, path, mut watch) =
        watched("stores: { two: { kind: local, file: /a, identity: /b } }\naudit: { polls: all }\n");
    let mut restart = |text: &str| {
        fs::write(&path, text).unwrap();
        taken(&mut watch).restart
    };
    let one = "stores: { two: { kind: local, file: /c, identity: /b }, one: { kind: local, file: /a, identity: /b } }\n";
    assert_eq!(restart(one), ["audit.polls", "stores.one", "stores.two"]);
    let live = "policy: { rules: [], skipVerify: [https://a] }\nlogLevel: warn\nlimits: { mountsInFlight: 2, answerBytes: 2048 }\n";
    assert!(restart(&format!("{one}{live}")).is_empty(), "told already, and the rest is taken");
    let back = "stores: { two: { kind: local, file: /a, identity: /b } }\naudit: { polls: all }\n";
    assert!(restart(back).is_empty(), "as it was at the start");
    assert_eq!(restart(one).len(), 3);
}

#[test]
fn the_page_says_which_keys_are_taken_anew_and_each_of_them_is_one() {
    let page = latchkey::config::reference();
    let line = page.lines().find(|line| line.contains("takes ") && line.contains(" anew")).unwrap();
    let told: Vec<&str> = line.split(" anew").next().unwrap().split('`').skip(1).step_by(2).collect();
    assert_eq!(told, ["policy", "logLevel", "limits.mountsInFlight", "limits.answerBytes"]);
    for key in told {
        assert!(page.contains(&format!("| `{key}")), "{key}");
    }
}

/// A key at every depth, and of every kind of value.
const PATHS: [&str; 19] = [
    "stores",
    "stores.local",
    "stores.local.file",
    "stores.local.issuer",
    "stores.vault",
    "stores.vault.audiences",
    "stores.vault.fresh",
    "policy",
    "policy.rules",
    "policy.rules.stores",
    "policy.endpoints",
    "policy.endpoints.allow",
    "policy.skipVerify",
    "logLevel",
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
