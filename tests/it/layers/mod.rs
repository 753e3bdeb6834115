//! Holds the layers: what each module of the crate may use, and which module alone may use a library.
//!
//! `table` is the law, as data. `source` reads files, `collect` and `tokens` find every path a file mentions,
//! `scope` resolves a path through the crate's own imports, and `check` compares the result with the table.
//! `mutations` breaks each rule in each spelling, so that a checker which sees nothing cannot pass.

mod check;
mod collect;
mod evasions;
mod mutations;
mod scope;
pub(crate) mod source;
mod table;
mod tokens;

use std::collections::BTreeSet;

use source::Source;

pub(crate) use collect::{Kind, collect};

#[test]
fn every_module_of_the_crate_keeps_to_its_row() {
    let broken = check::check(&table::TABLE, &source::read("src", "rs"));
    let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "the layers are broken (tests/it/layers/table.rs):\n{}", lines.join("\n"));
}

#[test]
fn a_module_without_a_row_is_an_error() {
    for (path, unit) in [
        ("src/misfit.rs", "misfit"),
        ("src/misfit/inner.rs", "misfit"),
        ("src/store/misfit.rs", "store::misfit"),
        ("src/dialect/misfit/mod.rs", "dialect::misfit"),
        ("src/bin/extra.rs", "bin"),
    ] {
        let broken = check::check(&table::TABLE, &[Source::new(path, "//! Nothing.\n")]);
        assert_eq!(broken.len(), 1, "{path}");
        assert_eq!((broken[0].line, broken[0].unit.as_str()), (1, unit));
    }
}

#[test]
fn the_table_names_only_units_and_parts_that_it_knows() {
    let table = &table::TABLE;
    let units: BTreeSet<&str> = table.units().collect();
    assert_eq!(units.len(), table.units().count(), "a unit has two rows");
    let known = |pattern: &str| units.iter().any(|unit| table::covers(pattern, unit));
    for row in table.rows {
        assert!(!row.why.is_empty(), "`{}` has no reason", row.units);
        for pattern in row.may.split(' ').filter(|one| !one.is_empty()) {
            assert!(known(pattern), "the row of `{}` names `{pattern}`, which has no row", row.units);
        }
    }
    for names in table.only.iter().chain(table.never) {
        for pattern in names.unit.split(' ').chain(names.of.split(' ')) {
            assert!(known(pattern), "`{pattern}` has no row");
        }
    }
    for part in table.parts {
        assert!(!units.contains(part.path), "`{}` is a unit and a part", part.path);
        let unit = table.unit(&table::segments(part.path));
        assert!(unit.is_some(), "`{}` lies in no unit", part.path);
    }
    for alone in table.alone {
        for owner in alone.units.split(' ') {
            let part = table.parts.iter().any(|part| part.path == owner);
            assert!(part || units.contains(owner), "`{owner}` owns `{}` and has no row", alone.paths);
        }
    }
}

#[test]
fn the_rules_above_the_rows_hold_in_every_row() {
    let table = &table::TABLE;
    for unit in table.units() {
        let may = |other: &str| table.may(unit, other);
        let concrete = |other: &&str| other.starts_with("store::");
        for store in table.units().filter(concrete).filter(|other| *other != unit) {
            assert_eq!(may(store), unit == "app", "`{unit}` and the concrete store `{store}`");
        }
        for dialect in table.units().filter(|other| other.starts_with("dialect::") && *other != unit) {
            let sibling = unit.starts_with("dialect::") && unit != "dialect::list";
            assert!(!(sibling && may(dialect)), "`{unit}` names its sibling `{dialect}`");
        }
        if unit != "config" {
            assert_eq!(may("config"), matches!(unit, "app" | "cli"), "`{unit}` and `config`");
        }
    }
    assert!(!table.may("model", "clock"), "`model` calls no clock");
}
