//! Pure: manifests judged offline. The native dialect is the real one; a second one, which only names addresses, shows
//! what is to be permitted.

mod classes;
mod command;

use std::sync::Arc;

use latchkey::config::parse;
use latchkey::dialect::native::Native;
use latchkey::dialect::{Dialect, Facts, Param};
use latchkey::error::{Problem, Problems, Reason};
use latchkey::lint::{Linter, Report};
use latchkey::model::locator::{local, vault};
use latchkey::model::{
    Access, Address, Attributes, Audience, Body, Catalog, Cut, Defaults, Endpoint, Entry, FileMode, FileSpec,
    Locator, Origin, PathRule, Plan, RelPath, Source, StoreName, Tls, VersionRule, Want,
};
use latchkey::policy::Policy;
use latchkey::secret::DigestKey;

/// `provider: vaultish`, whose `addresses` are what a class leads to, one word each.
struct Vaultish;

impl Dialect for Vaultish {
    fn provider(&self) -> &'static str {
        "vaultish"
    }

    fn params(&self) -> &'static [Param] {
        &[]
    }

    fn parse(&self, attributes: &Attributes, _: Facts<'_>, _: &Catalog) -> Result<Plan, Problems> {
        let words = attributes.get("addresses").unwrap_or_default().split_whitespace();
        let sources: Vec<Source> = words
            .map(|word| {
                let address = Address::parse(word)
                    .ok_or_else(|| Problem::new(Reason::Invalid, "is no address").parameter("addresses"))?;
                let access = vault::Access {
                    store: StoreName::parse("vault").unwrap(),
                    endpoint: Endpoint { address, origin: Origin::Tenant, tls: Tls::default() },
                    namespace: "".into(),
                    mount: "kubernetes".into(),
                    role: "web".into(),
                    audience: Audience::new(attributes.get("audience").unwrap_or("vault")),
                    flavour: vault::Flavour::Vault,
                };
                let locator =
                    vault::Locator { method: vault::GET.into(), path: "secret/a".into(), args: None };
                Ok(Source {
                    name: "a".to_owned(),
                    access: Arc::new(Access::Vault(access)),
                    locator: Locator::Vault(locator),
                    want: Want::default(),
                    said: Arc::default(),
                })
            })
            .collect::<Result<_, Problem>>()?;
        let file = |source| FileSpec {
            path: PathRule::One(RelPath::parse(&format!("f{source}")).unwrap()),
            mode: FileMode::DEFAULT,
            body: Body::Cut { source, cut: Cut::Whole },
            version: VersionRule::Content,
            at: None,
        };
        let files = (0..sources.len()).map(file).collect();
        Plan::new(sources, files, "addresses")
    }
}

/// Lints files by their names, with this text under `policy:`.
fn lint(policy: &str, files: &[(&str, &str)]) -> Report {
    let policy = match policy {
        "" => Policy::default(),
        text => parse(&format!("policy: {text}"), |_| None).unwrap().policy,
    };
    let store = StoreName::parse("local").unwrap();
    let access = local::Access { store: store.clone(), audience: None };
    let catalog = Catalog::new([Entry { store, defaults: Defaults::Local(access), fresh: None }]);
    let (digests, dialects) =
        (DigestKey::random(), [Arc::new(Native) as Arc<dyn Dialect>, Arc::new(Vaultish)]);
    let facts = Facts { mode: FileMode::DEFAULT, publish: true, digests: &digests };
    let linter = Linter { dialects: &dialects, facts, catalog: &catalog, policy: &policy };
    let mut report = Report::default();
    for (name, text) in files {
        linter.check(name, text, &mut report);
    }
    report
}

fn class(name: &str, provider: &str, parameters: &str) -> String {
    format!(
        "kind: SecretProviderClass\nmetadata: {{ name: {name}, namespace: shop }}\nspec:\n  provider: {provider}\n  parameters:\n{parameters}"
    )
}

fn lines(report: &Report) -> Vec<String> {
    report.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_problem_stands_at_its_line_and_column_of_the_file() {
    let block = class(
        "web",
        "latchkey",
        "    secrets: |\n      db: { store: local, path: a/b }\n      # more\n      x: { store: local, pth: a }\n    files: |2\n        f: dbb\n",
    );
    let report = lint("", &[("dir/web.yaml", &format!("---\n{block}"))]);
    assert_eq!(
        lines(&report),
        [
            "dir/web.yaml:10:26: invalid: parameter secrets, secret `x`: a secret has no key `pth`; did you mean `path`? \
             a local secret has `store`, `path`, `version`, `optional` and `fresh`",
            "dir/web.yaml:10:7: invalid: parameter secrets, secret `x`: the secret names no path; add `path:` with the \
             entry's path in the store",
            "dir/web.yaml:12:12: invalid: parameter files, file `f`: `secrets` has no secret `dbb`; did you mean `db`?",
        ]
    );
    assert_eq!((report.classes, report.problems[0].spot.class.as_deref()), (1, Some("shop/web")));
}

/// The place of the only problem, an unknown store.
fn place(parameters: &str) -> (u32, u32) {
    let report = lint("", &[("f", &class("c", "latchkey", parameters))]);
    let [finding] = &report.problems[..] else { panic!("{:?}", lines(&report)) };
    assert!(finding.text.contains("no store `nowhere`"), "{finding}");
    (finding.spot.line, finding.spot.column)
}

#[test]
fn every_form_of_a_scalar_has_its_places_or_its_start() {
    // Line 6 is the first below `parameters:`.
    for (parameters, wanted) in [
        ("    secrets: |\n      x: { store: nowhere, path: a }\n", (7, 19)),
        ("    secrets: |-\n\n\n          x: { store: nowhere, path: a }\n", (9, 23)),
        ("    secrets: |1\n      x: { store: nowhere, path: a }\n", (7, 19)),
        ("    secrets: |\n      x:\n        store: nowhere\n        path: a\n", (8, 16)),
        ("    secrets: \"x: { store: nowhere, path: a }\"\n", (6, 27)),
        ("    secrets: 'x: { store: nowhere, path: a }'\n", (6, 27)),
        ("    secrets: \"x: { \\x73tore: nowhere, path: a }\"\n", (6, 14)),
        ("    secrets: 'x: { store: nowhere, path: ''a'' }'\n", (6, 14)),
        ("    secrets: >\n      x: { store: nowhere,\n      path: a }\n", (7, 7)),
        ("    secrets: \"x: {\n      store: nowhere, path: a }\"\n", (6, 14)),
        ("    secrets: \"{ x: { path: a, \\\n      store: nowhere } }\"\n", (6, 14)),
        ("    ? secrets\n    : |\n      x: { store: nowhere, path: a }\n", (8, 19)),
    ] {
        assert_eq!(place(parameters), wanted, "{parameters}");
    }
    let anchored = class("c", "latchkey", "    secrets: &s |\n      x: { store: nowhere, path: a }\n");
    let report = lint("", &[("f", &anchored)]);
    assert_eq!((report.problems[0].spot.line, report.problems[0].spot.column), (7, 19), "behind an anchor");
}

#[test]
fn carriage_returns_and_wide_letters_do_not_shift_a_place() {
    assert_eq!(place("    secrets: |\r\n      x: { store: nowhere, path: a }\r\n"), (7, 19));
    assert_eq!(place("    secrets: |\n      x: { path: a, store: nowhere } # ä\n"), (7, 28));
    assert_eq!(place("    secrets: |\n      # ä\n      x: { path: a/b, store: nowhere }\n"), (8, 30));
}

#[test]
fn what_is_missing_or_unknown_stands_at_the_class_or_the_parameter() {
    let missing = class("c", "latchkey", "    files: |\n      f: x\n");
    let report = lint("", &[("f", &format!("a: 1\n---\n{missing}"))]);
    assert_eq!(report.problems.len(), 1, "{:?}", lines(&report));
    assert!(
        report.problems[0].to_string().starts_with("f:3:1: invalid: parameter secrets"),
        "{:?}",
        lines(&report)
    );
    let unknown =
        class("c", "latchkey", "    secrets: |\n      x: { store: local, path: a }\n    secrts: y\n");
    let report = lint("", &[("f", &unknown)]);
    assert!(
        report.problems[0].to_string().starts_with("f:8:13: invalid: parameter secrts"),
        "{:?}",
        lines(&report)
    );
}

#[test]
fn one_bad_class_or_file_hides_no_other() {
    let good = class("good", "latchkey", "    secrets: |\n      x: { store: local, path: a }\n");
    let bad = "kind: SecretProviderClass\nmetadata: { name: bad }\nspec: { provider: latchkey, parameters: { secrets: [] } }\n";
    let wrong = class("wrong", "latchkey", "    secrets: \"\"\n");
    let list = format!("kind: List\nitems:\n- {{ kind: Pod }}\n- {}", good.replace('\n', "\n  ").trim_end());
    let report = lint(
        "",
        &[
            ("a.yaml", "a: [\n"),
            ("b.yaml", &format!("{bad}---\nkind: ConfigMap\n---\n{wrong}---\n{good}---\nno kind\n")),
            ("c.yaml", &list),
            ("d.yaml", ""),
        ],
    );
    let found: Vec<String> = report.problems.iter().map(|finding| finding.spot.to_string()).collect();
    assert_eq!((report.classes, report.others), (3, 3), "{:?}", lines(&report));
    assert_eq!(found, ["a.yaml:2:1", "b.yaml:3:52", "b.yaml:12:14"]);
}

#[test]
fn providers_of_others_are_not_judged_and_a_slip_is_told() {
    let report = lint(
        "",
        &[("f", &[class("a", "gcp", "    x: y\n"), class("b", "latchkye", "    x: y\n")].join("---\n"))],
    );
    assert_eq!(
        lines(&report),
        [
            "f:8:1: setup: parameter spec.provider: there is no provider `latchkye` in this build; did you mean `latchkey`?"
        ]
    );
    let [(spot, provider)] = &report.strangers[..] else { panic!("one") };
    assert_eq!((spot.line, provider.as_str(), report.classes), (1, "gcp", 0));
}

#[test]
fn each_address_to_permit_is_told_once_with_all_who_lead_there() {
    let one = class("one", "vaultish", "    addresses: https://a.corp:8200/x http://b.corp\n");
    let two = class("two", "vaultish", "    addresses: https://c.corp HTTPS://A.corp:8200\n");
    let files = [("one.yaml", one.as_str()), ("two.yaml", two.as_str())];
    let report = lint("{ endpoints: { allow: [https://c.corp] } }", &files);
    let told: Vec<(&str, Vec<&str>)> = report
        .endpoints
        .iter()
        .map(|closed| {
            (
                closed.endpoint.as_str(),
                closed.classes.iter().filter_map(|spot| spot.class.as_deref()).collect(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("http://b.corp", vec!["shop/one"]), ("https://a.corp:8200", vec!["shop/one", "shop/two"])]
    );
    assert!(report.problems.is_empty() && !report.is_clean());
    let all =
        lint("{ endpoints: { allow: [\"https://*.corp\", http://b.corp, https://a.corp:8200] } }", &files);
    assert!(all.is_clean(), "{:?}", all.endpoints);
}

#[test]
fn what_no_line_can_permit_is_a_problem_and_rules_are_not_judged() {
    let socket = class(
        "c",
        "vaultish",
        "    addresses: unix:///run/x https://a.corp\n    audience: sts.amazonaws.com\n",
    );
    let report = lint("{ rules: [], endpoints: { allow: [https://a.corp] } }", &[("f", &socket)]);
    let told = lines(&report);
    assert_eq!((told.len(), report.endpoints.len()), (2, 0), "{told:?}");
    assert!(
        told[0].starts_with("f:1:1: policy: secret `a`") && told[0].contains("the socket `unix:///run/x`"),
        "{told:?}"
    );
    assert!(told[1].contains("belongs to AWS"), "{told:?}");
}
