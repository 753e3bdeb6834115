//! The reference of the classes, `docs/vault.md`, names every parameter, and no other.

use std::collections::BTreeSet;

use latchkey::dialect::Dialect as _;
use latchkey::dialect::vault::{Flavour, Vault};

use crate::layers::source::top;

/// The words of a column that are in backticks, in the rows of the section.
fn words(section: &str, column: usize) -> impl Iterator<Item = &str> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(move |row| row.split(" | ").nth(column));
    // The first row says whose the columns are.
    cells.skip(1).flat_map(|cell| cell.split('`').skip(1).step_by(2))
}

#[test]
fn the_page_names_every_parameter_of_both_providers_and_no_other() {
    let page = std::fs::read_to_string(top().join("docs/vault.md")).unwrap();
    let section = page.split("## Parameters").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    for (flavour, column, prefixes) in
        [(Flavour::Vault, 0, &["vault"][..]), (Flavour::OpenBao, 1, &["bao", "openbao", "vault"])]
    {
        let mut named = BTreeSet::new();
        for word in words(section, column) {
            match word.strip_prefix('…') {
                Some(suffix) => named.extend(prefixes.iter().map(|prefix| format!("{prefix}{suffix}"))),
                // The default of one of them.
                None if word == "kubernetes" => {}
                None => drop(named.insert(word.to_owned())),
            }
        }
        let dialect = Vault { flavour };
        let taken: BTreeSet<String> = dialect.params().iter().map(|param| param.name.to_owned()).collect();
        assert_eq!(named, taken, "{}", flavour.name());
    }
}
