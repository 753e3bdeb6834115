//! `latchkey lint`: manifests judged offline.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Failure, Output, unwritable};
use crate::app;
use crate::config;
use crate::error::{Problem, Problems, Reason};
use crate::lint::{Closed, Finding, Report, Spot};

#[derive(Args)]
pub(super) struct LintArgs {
    /// Manifests, and folders that are searched for `.yaml` and `.yml` files; `-` reads standard input
    #[arg(required = true, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// The configuration file; without one the stores are taken for configured, and nothing is permitted
    #[arg(long, env = "LATCHKEY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    problems: &'a [Finding],
    endpoints: &'a [Closed],
    /// Classes of other providers, which were not judged.
    strangers: Vec<Stranger<'a>>,
    classes: usize,
    others: usize,
}

#[derive(Serialize)]
struct Stranger<'a> {
    #[serde(flatten)]
    spot: &'a Spot,
    provider: &'a str,
}

pub(super) fn run(args: &LintArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = config::load(args.config.as_deref()).map_err(Failure::Usage)?;
    let files = files(&args.manifests).map_err(Failure::Usage)?;
    let report = app::lint::lint(&config, args.config.is_none(), &files);
    let printed = if args.output == Output::Json { json(&report, out) } else { text(&report, out) };
    printed.map_err(|error| Failure::Work(unwritable(&error).into()))?;
    if report.is_clean() { Ok(()) } else { Err(Failure::Told) }
}

/// Every file by its name, with its text.
fn files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Problems> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        if path == Path::new("-") {
            match io::read_to_string(io::stdin()) {
                Ok(text) => found.push(("-".to_owned(), text)),
                Err(error) => problems.push(unreadable(path, &error)),
            }
        } else if path.is_dir() {
            walk(path, &mut found, &mut problems);
        } else {
            read(path, &mut found, &mut problems);
        }
    }
    Problems::check(problems)?;
    Ok(found)
}

/// Links to folders are not followed, so that there is an end; names with a dot before them are not manifests.
fn walk(folder: &Path, found: &mut Vec<(String, String)>, problems: &mut Vec<Problem>) {
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return problems.push(unreadable(folder, &error)),
    };
    let mut entries: Vec<_> = entries.iter().map(|entry| (entry.path(), entry.file_type())).collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (path, kind) in entries {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        match kind {
            _ if hidden => {}
            Ok(kind) if kind.is_dir() => walk(&path, found, problems),
            Ok(_) if yaml && path.is_file() => read(&path, found, problems),
            Ok(_) => {}
            Err(error) => problems.push(unreadable(&path, &error)),
        }
    }
}

fn read(path: &Path, found: &mut Vec<(String, String)>, problems: &mut Vec<Problem>) {
    match fs::read_to_string(path) {
        Ok(text) => found.push((path.display().to_string(), text)),
        Err(error) => problems.push(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Reason::Invalid, format!("cannot be read: {}", error.kind()))
        .parameter("PATH")
        .hop(path.display().to_string())
}

fn text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for finding in &report.problems {
        writeln!(out, "{finding}")?;
    }
    for (spot, provider) in &report.strangers {
        let class = spot.class.as_deref().unwrap_or_default();
        writeln!(
            out,
            "{spot}: not judged: class `{class}` is of provider `{provider}`, which this build does not have"
        )?;
    }
    if !report.endpoints.is_empty() {
        writeln!(out, "\nAddresses that the configuration does not permit yet; to permit them:\n")?;
        writeln!(out, "policy:\n  endpoints:\n    allow:")?;
        for closed in &report.endpoints {
            // A JSON string is a YAML scalar whatever the address has in it.
            let endpoint = serde_json::Value::from(closed.endpoint.as_str());
            let classes: Vec<String> = closed
                .classes
                .iter()
                .map(|spot| {
                    format!("{} ({}:{})", spot.class.as_deref().unwrap_or_default(), spot.file, spot.line)
                })
                .collect();
            writeln!(out, "      - {endpoint} # {}", classes.join(", "))?;
        }
        writeln!(out)?;
    }
    let count =
        |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    writeln!(
        out,
        "{} judged, {} of other providers, {} passed over: {}, {} to permit.",
        count(report.classes, "class", "classes"),
        report.strangers.len(),
        count(report.others, "other object", "other objects"),
        count(report.problems.len(), "problem", "problems"),
        count(report.endpoints.len(), "address", "addresses"),
    )?;
    writeln!(
        out,
        "Known to a mount only, and not judged: `policy.rules`, and what a pod's volumeAttributes change."
    )
}

fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let strangers = report.strangers.iter().map(|(spot, provider)| Stranger { spot, provider });
    let document = Document {
        problems: &report.problems,
        endpoints: &report.endpoints,
        strangers: strangers.collect(),
        classes: report.classes,
        others: report.others,
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(endpoints: &[(&str, &[&str])]) -> String {
        let spot = |class: &&str| Spot {
            file: "a.yaml".to_owned(),
            line: 3,
            column: 1,
            class: Some((*class).to_owned()),
        };
        let endpoints = endpoints.iter().map(|(endpoint, classes)| Closed {
            endpoint: (*endpoint).to_owned(),
            classes: classes.iter().map(spot).collect(),
        });
        let report = Report { endpoints: endpoints.collect(), classes: 2, ..Report::default() };
        let mut out = Vec::new();
        text(&report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_addresses_to_permit_can_be_pasted_into_a_configuration() {
        let out = printed(&[("https://a.corp:8200", &["shop/one", "two"]), ("http://[fd00::1]", &["x # y"])]);
        assert!(out.contains("- \"https://a.corp:8200\" # shop/one (a.yaml:3), two (a.yaml:3)\n"), "{out}");
        let list = out.split("permit them:\n\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        let policy = config::parse(list, |_| None).unwrap().policy;
        let wanted = ["https://a.corp:8200", "http://[fd00::1]"].map(crate::policy::Site::parse);
        assert_eq!(policy.endpoints.into_iter().map(Some).collect::<Vec<_>>(), wanted);
        assert!(out.contains("0 problems, 2 addresses to permit."), "{out}");
    }

    #[test]
    fn without_addresses_there_is_no_list() {
        assert!(!printed(&[]).contains("policy:"));
    }
}
