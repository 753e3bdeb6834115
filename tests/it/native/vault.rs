//! Secrets of Vault and OpenBao stores.

use latchkey::config::{self, Store};
use latchkey::dialect::native::Native;
use latchkey::dialect::{Dialect, Facts};
use latchkey::error::{Problem, Problems, Reason};
use latchkey::model::locator::vault;
use latchkey::model::{Access, Attributes, Catalog, FileMode, Locator, Plan};
use latchkey::secret::DigestKey;

const STORES: &str = "stores:\n  vault: { address: \"https://vault.corp\", role: web, authMount: k8s, namespace: team }\n  \
                      bao: { kind: openbao, address: \"https://bao.corp\" }\n  bare: { kind: vault }\n";

fn secrets(text: &str) -> Result<Plan, Problems> {
    let config = config::parse(STORES, |_| None).unwrap();
    let catalog = Catalog::new(config.stores.into_iter().filter_map(|store| match store {
        Store::Vault(entry) => Some(entry),
        Store::Local(_) => None,
    }));
    let digests = DigestKey::new(&[7; 32]);
    let facts = Facts { mode: FileMode::DEFAULT, publish: false, digests: &digests };
    let attributes = [("secrets".to_owned(), text.to_owned())];
    Native.parse(&Attributes::new(attributes.into()), facts, &catalog)
}

fn one(keys: &str) -> (vault::Access, vault::Locator) {
    let plan = secrets(&format!("s: {{ {keys} }}")).unwrap();
    let source = &plan.sources()[0];
    match (&*source.access, &source.locator) {
        (Access::Vault(access), Locator::Vault(locator)) => (access.clone(), locator.clone()),
        _ => panic!("of another store"),
    }
}

#[test]
fn what_a_secret_leaves_open_is_its_stores() {
    let (access, locator) = one("store: vault, path: secret/data/db");
    assert_eq!(
        (access.store.as_str(), access.endpoint.to_string().as_str()),
        ("vault", "https://vault.corp")
    );
    assert_eq!((&*access.role, &*access.mount, &*access.namespace), ("web", "k8s", "team"));
    assert_eq!((access.audience.as_str(), access.flavour.name()), ("vault", "vault"));
    assert_eq!((locator.to_string().as_str(), locator.args.is_none()), ("secret/data/db", true));
    let keys = "store: bao, path: /v1/pki//issue/web, method: PUT, role: \"{namespace}\", authMount: jwt, namespace: ns, audience: corp";
    let (access, locator) = one(keys);
    assert_eq!((&*access.role, &*access.mount, &*access.namespace), ("{namespace}", "jwt", "ns"));
    assert_eq!((access.audience.as_str(), access.flavour.name()), ("corp", "openbao"));
    assert_eq!(locator.to_string(), "PUT pki/issue/web");
    assert_eq!(one("store: bao, path: x, role: r").0.audience.as_str(), "openbao");
}

#[test]
fn a_version_is_part_of_the_request() {
    assert_eq!(
        one("store: vault, path: secret/data/db, version: 3").1.to_string(),
        "secret/data/db?version=3"
    );
}

#[test]
fn args_are_json_in_which_nothing_is_guessed() {
    let (_, locator) = one(
        "store: vault, path: x, args: { ttl: 3600, z: 0123, b: true, n: ~, f: 1.50, e: 1e3, s: \"5\", y: yes, l: [{ a: <> }, -0], o: {} }",
    );
    let json = String::from_utf8(locator.args.unwrap().json.expose().to_vec()).unwrap();
    let wanted = r#"{"b":true,"e":1e3,"f":1.50,"l":[{"a":"\u003c\u003e"},-0],"n":null,"o":{},"s":"5","ttl":3600,"y":"yes","z":"0123"}"#;
    assert_eq!(json, wanted);
    for text in ["+1", ".5", "1.", "-x", "1e", "0x1", "1_0", "NaN"] {
        let (_, locator) = one(&format!("store: vault, path: x, args: {{ a: {text} }}"));
        let json = String::from_utf8(locator.args.unwrap().json.expose().to_vec()).unwrap();
        assert_eq!(json, format!("{{\"a\":\"{text}\"}}"));
    }
}

#[test]
fn every_wrong_key_is_named_with_its_reason() {
    for (keys, reason, words) in [
        ("store: vault", Reason::Invalid, "the secret names no path"),
        ("store: vault, path: ", Reason::Invalid, "`path` is nothing"),
        ("store: vault, path: /", Reason::Invalid, "`path` names nothing"),
        ("store: vault, path: ../x", Reason::Invalid, "`path` leads out of `/v1/`"),
        ("store: vault, path: \"x?a=%\"", Reason::Invalid, "`path` has a `%`"),
        ("store: vault, path: auth/token/renew-self", Reason::Policy, "which no class may touch"),
        ("store: vault, path: \"x?a=1\", version: 2", Reason::Invalid, "beside a path with a query"),
        ("store: vault, path: x, version: latest", Reason::Invalid, "`version` is not"),
        ("store: vault, path: x, method: \"P T\"", Reason::Invalid, "`method` is no HTTP method"),
        ("store: vault, path: x, args: [a]", Reason::Invalid, "`args` is a list"),
        ("store: vault, path: x, args: { a: { <<: { b: c } } }", Reason::Invalid, "a merge key"),
        ("store: vault, path: x, authMount: ../sys", Reason::Invalid, "`authMount` names nothing"),
        ("store: vault, path: x, role: [a]", Reason::Invalid, "`role` is a list"),
        ("store: vault, path: x, audience: \"\"", Reason::Invalid, "`audience` is empty"),
        ("store: vault, path: x, namespace: \"a\\nb\"", Reason::Invalid, "`namespace` has a control"),
        ("store: vault, path: x, renewAt: 5m", Reason::Invalid, "`renewAt` comes with leases"),
        ("store: vault, path: x, stage: AWSCURRENT", Reason::Invalid, "`stage` is a key of secrets of aws"),
        ("store: vault, pth: x, path: y", Reason::Invalid, "did you mean `path`?"),
        ("store: bao, path: x", Reason::Setup, "names a role"),
        ("store: bare, path: x, role: r", Reason::Setup, "does not know where the server is"),
    ] {
        let problems: Vec<Problem> = secrets(&format!("s: {{ {keys} }}")).unwrap_err().into_iter().collect();
        let [problem] = problems.as_slice() else { panic!("{keys}: {problems:#?}") };
        assert_eq!(problem.reason, reason, "{problem}");
        assert!(problem.to_string().contains(words) && !problem.remedy.is_empty(), "{keys}: {problem}");
    }
    let all = secrets(
        "s: { store: bare, path: .., version: x, method: \"\", args: 1, authMount: /, optional: maybe }",
    );
    assert_eq!(all.unwrap_err().iter().count(), 8);
}
