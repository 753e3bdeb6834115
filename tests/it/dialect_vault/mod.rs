//! The classes of the Vault and OpenBao providers: what each spelling means, and every way in which one is refused.

mod args;
mod hardening;
mod objects;
mod page;
mod parameters;
mod paths;
mod spelling;
mod versions;

use std::collections::BTreeMap;

use latchkey::config::{self, Store};
use latchkey::dialect::vault::{Flavour, Vault};
use latchkey::dialect::{Dialect, Facts};
use latchkey::error::{Problem, Problems, Reason};
use latchkey::model::locator::vault::{Access, Locator};
use latchkey::model::{self, Attributes, Catalog, FileMode, Plan};
use latchkey::secret::DigestKey;

/// The address of the administrator's server.
const ADDRESS: &str = "https://vault.corp:8200";

/// The stores of a configuration.
fn catalog(text: &str, environment: &[(&str, &str)]) -> Catalog {
    let variable =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
    let config = config::parse(text, variable).unwrap();
    Catalog::new(config.stores.into_iter().filter_map(|store| match store {
        Store::Vault(entry) => Some(entry),
        #[cfg(feature = "local")]
        Store::Local(_) => None,
    }))
}

/// Both servers at one address.
fn usual() -> Catalog {
    catalog("", &[("VAULT_ADDR", ADDRESS)])
}

fn parse(flavour: Flavour, parameters: &[(&str, &str)], catalog: &Catalog) -> Result<Plan, Problems> {
    let attributes: BTreeMap<_, _> =
        parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let digests = DigestKey::new(&[7; 32]);
    let facts = Facts { mode: FileMode::DEFAULT, publish: false, digests: &digests };
    Vault { flavour }.parse(&Attributes::new(attributes), facts, catalog)
}

/// One object, which nothing is wrong with.
const ONE: &str = "- { objectName: o, secretPath: secret/data/app, secretKey: k }";

/// A class of the Vault provider with one good object, and these parameters.
fn with(parameters: &[(&str, &str)]) -> Result<Plan, Problems> {
    with_in(Flavour::Vault, parameters, &usual())
}

fn with_in(flavour: Flavour, parameters: &[(&str, &str)], catalog: &Catalog) -> Result<Plan, Problems> {
    parse(flavour, &[&[("objects", ONE)], parameters].concat(), catalog)
}

/// A class of the Vault provider with these objects.
fn objects(text: &str) -> Result<Plan, Problems> {
    parse(Flavour::Vault, &[("roleName", "web"), ("objects", text)], &usual())
}

fn access(plan: &Plan) -> &Access {
    match &*plan.sources()[0].access {
        model::Access::Vault(access) => access,
        model::Access::Local(_) => panic!("of another store"),
    }
}

fn locators(plan: &Plan) -> Vec<&Locator> {
    let locators = plan.sources().iter().map(|source| match &source.locator {
        model::Locator::Vault(locator) => locator,
        model::Locator::Local(_) => panic!("of another store"),
    });
    locators.collect()
}

/// The only problem, which is of that reason, names that parameter and has a remedy.
fn only(outcome: Result<Plan, Problems>, reason: Reason, parameter: &str) -> Problem {
    let problems: Vec<Problem> = outcome.expect_err("the class is wrong").into_iter().collect();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!((problem.reason, problem.place.parameter.as_deref()), (reason, Some(parameter)), "{problem}");
    assert!(!problem.remedy.is_empty(), "{problem}");
    problem.clone()
}

/// Asserts that the objects have one problem, there, about that one, in these words.
fn refused(text: &str, at: (u32, u32), object: &str, words: &str) {
    let problem = only(objects(text), Reason::Invalid, "objects");
    assert_eq!((problem.place.at, problem.place.object.as_deref()), (Some(at), Some(object)), "{problem}");
    assert!(problem.to_string().contains(words), "`{words}` is missing from: {problem}");
}
