//! The law: who may use what. To allow something, change a line here and say why in its reason.
//!
//! A unit is a top-level module, and below `store` and `dialect` each module on its own. A unit may use itself, so no
//! row says that. Lists are separated by spaces; `store::*` means every unit below `store`.
//! Exempt: `src/lib.rs`, which may only list modules, and the code generated from the contract, which is not in `src`.

/// One table of rules; the checker knows no other.
pub(super) struct Table {
    pub(super) rows: &'static [Row],
    /// Names of another unit that a unit may use although its row does not list that unit.
    pub(super) only: &'static [Names],
    /// Names of another unit that a unit may not use although its row lists that unit: in no path, and as a method on
    /// nothing, since the checker does not know types.
    pub(super) never: &'static [Names],
    pub(super) parts: &'static [Part],
    pub(super) alone: &'static [Alone],
}

/// What a unit may use of this crate.
pub(super) struct Row {
    pub(super) units: &'static str,
    pub(super) may: &'static str,
    pub(super) why: &'static str,
}

/// Some names of a unit.
pub(super) struct Names {
    pub(super) unit: &'static str,
    pub(super) of: &'static str,
    pub(super) names: &'static str,
    pub(super) why: &'static str,
}

/// A module that obeys the row of the unit it lies in, and is named here because it owns a library of its own, or
/// because it lies below `store` or `dialect` without being a store or a dialect.
pub(super) struct Part {
    pub(super) path: &'static str,
}

/// Paths outside the crate that only these units may use. The longest path that fits decides. `aws_*` is any crate with
/// that prefix, and a `!` at the end says that it is a macro.
pub(super) struct Alone {
    pub(super) units: &'static str,
    pub(super) paths: &'static str,
    pub(super) why: &'static str,
}

pub(super) const TABLE: Table = Table { rows: ROWS, only: ONLY, never: NEVER, parts: PARTS, alone: ALONE };

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { units: "secret clock text room", may: "", why: "they lie at the bottom" },
    Row { units: "error", may: "secret text", why: "the vocabulary of failure knows no domain types" },
    Row { units: "model", may: "secret error yaml text", why: "nouns and pure functions" },
    Row { units: "yaml", may: "", why: "a tree with spans, pure" },
    Row { units: "policy", may: "model error text", why: "decides from nouns alone" },
    Row { units: "dialect", may: "model error secret", why: "the trait is pure and knows no dialect" },
    Row { units: "dialect::native dialect::vault dialect::aws dialect::azure dialect::gcp", may: "dialect model yaml error secret text", why: "a dialect is pure and knows no sibling" },
    Row { units: "dialect::list", may: "dialect dialect::* model yaml error secret text", why: "the one list of dialects" },
    Row { units: "telemetry audit", may: "model error clock text", why: "siblings that watch and do not act" },
    Row { units: "net", may: "model error secret clock room telemetry", why: "the guarded HTTP stack knows no store" },
    Row { units: "cluster", may: "model net error secret clock room telemetry text", why: "the Kubernetes API goes through `net`" },
    Row { units: "store", may: "model error secret clock room", why: "the trait knows no store; the list is `app`'s" },
    Row { units: "store::local store::vault store::aws store::azure store::gcp", may: "store model net cluster error secret clock text", why: "a store makes one attempt and knows no sibling, cache or lease" },
    Row { units: "engine", may: "store dialect policy model audit telemetry clock error secret room cluster text", why: "the engine knows the two traits, never who implements them" },
    Row { units: "proto", may: "", why: "generated from the contract" },
    Row { units: "driver", may: "proto model error clock text", why: "the other side of the contract knows nothing of the agent" },
    Row { units: "serve", may: "proto driver engine dialect model error secret clock room telemetry audit", why: "a way in: it hands calls to the engine" },
    Row { units: "lint convert", may: "dialect dialect::* model yaml policy error text", why: "offline: no store, no clock, no network" },
    Row { units: "config", may: "yaml error model text", why: "fills nouns and each module's `Config`, runs nothing" },
    Row { units: "app", may: "secret clock error model yaml policy dialect dialect::* telemetry audit net cluster store store::* engine proto driver serve lint convert config text", why: "composition: everything below the command line" },
    // `telemetry` for its label types: commands print reasons and outcomes by the names that metrics use.
    Row { units: "cli", may: "app config lint convert driver engine model error clock secret telemetry text", why: "one file per command over `app` and the offline tools" },
    Row { units: "main", may: "cli", why: "it only starts the command line" },
];

#[rustfmt::skip]
const ONLY: &[Names] = &[
    Names { unit: "model", of: "clock", names: "Instant Wall Span", why: "`model` is handed times and calls no clock" },
    Names { unit: "cli", of: "store store::local", names: "Content EntryPath Keeper Reader Readers Row VALUE_BYTES_MAX", why: "the keeper, which `app::local` hands on" },
    Names { unit: "config", of: "audit clock cluster dialect dialect::* driver engine net policy serve store store::* telemetry", names: "Config Keep Level Limits Pattern Patience Policy Rule Rules Site Verify", why: "each module owns its settings; `config` fills them" },
];

#[rustfmt::skip]
const NEVER: &[Names] = &[
    Names { unit: "error", of: "secret", names: "expose share", why: "a message may hold a secret's digest, never its bytes" },
];

#[rustfmt::skip]
const PARTS: &[Part] = &[
    Part { path: "engine::state" },
    Part { path: "model::cut" },
];

#[rustfmt::skip]
const ALONE: &[Alone] = &[
    Alone { units: "clock", paths: "std::time::SystemTime std::time::Instant std::time::UNIX_EPOCH std::thread::sleep tokio::time tokio_util::time rustix::time jiff", why: "time comes from `clock`, so that tests can hold it" },
    Alone { units: "yaml", paths: "saphyr_parser", why: "one YAML tree, one set of bounds" },
    Alone { units: "text", paths: "strsim", why: "what was probably meant is guessed in one place" },
    Alone { units: "proto", paths: "prost tonic_prost tonic::include_proto! std::include!", why: "generated code lives in `proto`" },
    Alone { units: "serve", paths: "tonic::service tonic::transport::Server tonic_health axum hyper_util::server hyper_util::service", why: "sockets are served in one place" },
    Alone { units: "driver", paths: "tonic::client tonic::transport::Channel tonic::transport::Endpoint", why: "only the driver's side calls an agent" },
    Alone { units: "serve driver", paths: "tonic", why: "gRPC ends where a call has become a noun" },
    Alone { units: "serve driver net", paths: "hyper", why: "HTTP is served in `serve` and spoken in `driver` and `net`" },
    Alone { units: "serve driver net", paths: "hyper_util", why: "HTTP is served in `serve` and spoken in `net`" },
    Alone { units: "config", paths: "std::env", why: "the environment is read once, with the configuration" },
    Alone { units: "cli", paths: "clap std::io::stdin std::io::stdout std::io::stderr tokio::io::stdin tokio::io::stdout tokio::io::stderr std::print! std::println! std::eprint! std::eprintln!", why: "only commands talk to a terminal" },
    Alone { units: "main", paths: "std::process::exit std::process::ExitCode", why: "the process ends in one place, after the drain" },
    Alone { units: "store::local", paths: "age jsonwebtoken", why: "the local store's file and tokens" },
    Alone { units: "secret", paths: "aws_lc_rs", why: "keyed digests and randomness come from `secret`" },
    Alone { units: "secret model net cluster store::local store::vault app cli", paths: "zeroize", why: "buffers of bytes on their way into a `Secret`, where bytes come in; nowhere else" },
    Alone { units: "telemetry", paths: "prometheus_client tracing_subscriber", why: "others emit through `tracing` and `telemetry`'s own types" },
    Alone { units: "net", paths: "reqwest flate2 rustls rustls_native_certs rustls_pki_types tokio_rustls hyper_rustls hyper_util::client", why: "one HTTP stack, one set of roots, guards and proxies" },
    Alone { units: "net store::aws", paths: "aws_smithy_*", why: "`net` carries the SDK's transport" },
    Alone { units: "model::cut", paths: "jmespath p12_keystore minijinja", why: "fields are cut out of bodies in one place" },
    Alone { units: "store::aws", paths: "aws_*", why: "an SDK stays in its store" },
    Alone { units: "store::azure", paths: "azure_*", why: "an SDK stays in its store" },
    Alone { units: "store::local audit driver serve config cli engine::state net cluster app", paths: "std::fs tokio::fs rustix::fs std::os::unix::fs", why: "who touches files is a short list" },
    Alone { units: "app engine serve", paths: "tokio::spawn tokio::task::spawn", why: "tasks have an owner that awaits them" },
];

impl Table {
    /// Every unit, once.
    pub(super) fn units(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.rows.iter().flat_map(|row| row.units.split(' '))
    }

    /// The unit in which a path of this crate lies.
    pub(super) fn unit(&self, path: &[String]) -> Option<&'static str> {
        let path = path.join("::");
        self.units().filter(|unit| starts(&path, unit)).max_by_key(|unit| unit.len())
    }

    /// The row of a unit.
    pub(super) fn row(&self, unit: &str) -> Option<&'static Row> {
        self.rows.iter().find(|row| row.units.split(' ').any(|one| one == unit))
    }

    /// Whether a unit's row lists another.
    pub(super) fn may(&self, unit: &str, other: &str) -> bool {
        self.row(unit).is_some_and(|row| lists(row.may, other))
    }

    /// The rule that decides about a path outside the crate.
    pub(super) fn owner(&self, path: &[String]) -> Option<&'static Alone> {
        let path = path.join("::");
        let fit = |rule: &'static Alone| rule.paths.split(' ').map(move |one| (one, rule));
        let fits =
            self.alone.iter().flat_map(fit).filter(|(one, _)| starts(&path, one.trim_end_matches('!')));
        fits.max_by_key(|(one, _)| one.trim_end_matches(['!', '*']).len()).map(|(_, rule)| rule)
    }

    /// The rule that a glob over a path would hide, for a module that does not own it.
    pub(super) fn hidden(&self, module: &[String], glob: &[String]) -> Option<&'static Alone> {
        let glob = glob.join("::");
        let below = |one: &str| starts(one, &glob);
        let hides = |rule: &&Alone| rule.paths.split(' ').any(below) && !rule.owned(module);
        self.alone.iter().find(hides)
    }
}

impl Names {
    /// Whether this line is about these two units.
    pub(super) fn between(&self, unit: &str, other: &str) -> bool {
        self.unit == unit && lists(self.of, other)
    }

    /// Whether the line has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.split(' ').any(|one| one == name)
    }
}

impl Alone {
    /// Whether a module lies in one of the units that may.
    pub(super) fn owned(&self, module: &[String]) -> bool {
        let module = module.join("::");
        self.units.split(' ').any(|unit| starts(&module, unit))
    }
}

/// Whether a unit is meant by `unit`, `folder::*`.
pub(super) fn covers(pattern: &str, unit: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(folder) => unit.starts_with(folder),
        None => pattern == unit,
    }
}

/// A path, in pieces.
pub(super) fn segments(path: &str) -> Vec<String> {
    path.split("::").filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn lists(patterns: &str, unit: &str) -> bool {
    patterns.split(' ').any(|pattern| covers(pattern, unit))
}

/// Whether a path is `prefix` or lies below it; `aws_*` is the beginning of a name.
pub(super) fn starts(path: &str, prefix: &str) -> bool {
    match prefix.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")),
    }
}
