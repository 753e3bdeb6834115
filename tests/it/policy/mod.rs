//! Pure: what the administrator's policy allows. Plans are made by hand, so that no dialect stands between a rule and
//! its test; policies are read from a configuration's text, so that what is printed can be pasted.

mod audiences;
mod endpoints;
mod rules;
mod settings;
#[cfg(feature = "vault")]
mod unreached;

use std::sync::Arc;

use latchkey::config::parse;
use latchkey::error::{Problem, Problems, Reason};
use latchkey::model::locator::{local, vault};
use latchkey::model::{
    Access, AccountName, Address, Audience, Body, Catalog, Cut, Defaults, Endpoint, Entry, FileMode,
    FileSpec, Locator, Namespace, Origin, PathRule, Plan, RelPath, Source, StoreName, Subject, Tls,
    VersionRule, Want,
};
use latchkey::policy::{Policy, permit};

fn store(name: &str) -> StoreName {
    StoreName::parse(name).unwrap()
}

fn subject() -> Subject {
    let (namespace, account) = (Namespace::parse("shop").unwrap(), AccountName::parse("web").unwrap());
    Subject { namespace, account, pod: None }
}

/// A Vault access as a class steers it.
fn tenant(address: &str) -> vault::Access {
    vault::Access {
        store: store("vault"),
        endpoint: Endpoint {
            address: Address::parse(address).unwrap_or_else(|| panic!("{address}")),
            origin: Origin::Tenant,
            tls: Tls::default(),
        },
        namespace: "".into(),
        mount: "kubernetes".into(),
        role: "web".into(),
        audience: Audience::new("vault"),
        flavour: vault::Flavour::Vault,
    }
}

/// The same where the configuration names the address.
fn configured(address: &str) -> vault::Access {
    let mut access = tenant(address);
    access.endpoint.origin = Origin::Administrator;
    access
}

fn get(path: &str) -> Locator {
    Locator::Vault(vault::Locator { method: vault::GET.into(), path: path.into(), args: None })
}

/// A plan of one file for each object.
fn plan(objects: impl IntoIterator<Item = (Access, Locator)>) -> Arc<Plan> {
    let sources: Vec<Source> = objects
        .into_iter()
        .enumerate()
        .map(|(at, (access, locator))| Source {
            name: format!("s{at}"),
            access: Arc::new(access),
            locator,
            want: Want::default(),
            said: Arc::default(),
        })
        .collect();
    let files = (0..sources.len()).map(|source| FileSpec {
        path: PathRule::One(RelPath::parse(&format!("f{source}")).unwrap()),
        mode: FileMode::DEFAULT,
        body: Body::Cut { source, cut: Cut::Whole },
        version: VersionRule::Content,
        at: None,
    });
    let files = files.collect();
    Arc::new(Plan::new(sources, files, "secrets").unwrap())
}

/// A plan that reads one object of Vault.
fn reads(access: vault::Access) -> Arc<Plan> {
    plan([(Access::Vault(access), get("secret/data/db"))])
}

/// The stores `vault`, with these settings, and `local`.
fn catalog(settings: vault::Defaults) -> Catalog {
    let access = local::Access { store: store("local"), audience: Some(Audience::new("latchkey")) };
    let entry = |name: &str, defaults| Entry { store: store(name), defaults, fresh: None };
    Catalog::new([entry("vault", Defaults::Vault(settings)), entry("local", Defaults::Local(access))])
}

/// What a configuration with this text under `policy:` allows.
fn policy(text: &str) -> Policy {
    parse(&format!("policy: {text}"), |_| None)
        .unwrap_or_else(|problems| panic!("{problems} in {text}"))
        .policy
}

fn judge(plan: &Arc<Plan>, policy: &Policy) -> Result<(), Problems> {
    permit(Arc::clone(plan), &subject(), policy, &catalog(vault::Defaults::default())).map(drop)
}

/// The only problem of a refusal.
fn refused(plan: &Arc<Plan>, policy: &Policy) -> Problem {
    let problems = judge(plan, policy).expect_err("allowed");
    let all: Vec<Problem> = problems.into_iter().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].reason, Reason::Policy);
    all[0].clone()
}

/// The key and the line that a refusal offers.
fn offer(problem: &Problem) -> Option<(String, String)> {
    let (_, rest) = problem.remedy.split_once("the administrator may add to `")?;
    let (key, line) = rest.split_once("`: - ")?;
    Some((key.to_owned(), line.to_owned()))
}

/// A policy with one line under a key of `policy`, as a reader of the text would write it.
fn pasted(offer: &(String, String)) -> Policy {
    let keys: Vec<&str> = offer.0.strip_prefix("policy.").expect("a key of the policy").split('.').collect();
    let mut text = "policy:\n".to_owned();
    for (depth, key) in keys.iter().enumerate() {
        text.push_str(&format!("{}{key}:\n", "  ".repeat(depth + 1)));
    }
    text.push_str(&format!("{}- {}\n", "  ".repeat(keys.len() + 1), offer.1));
    parse(&text, |_| None).unwrap_or_else(|problems| panic!("{problems} in {text}")).policy
}
