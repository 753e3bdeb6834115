//! `latchkey mount`: the pipeline of `serve` on a manifest, as the administrator, without a cluster.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Failure, Output, runtime, unwritable};
use crate::app::{self, Around};
use crate::clock::Clock;
use crate::config;
use crate::driver::{self, Flavour, NewFile, Pod, PodToken, Written};
use crate::engine::Delivery;
use crate::error::{Problem, Problems, Reason};
use crate::model::{self, Class};
use crate::text::nearest;

#[derive(Args)]
pub(super) struct MountArgs {
    /// The manifest; `-` reads standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Which class of the manifest, where it has several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The pod's namespace; the class's own where it has one
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The pod's service account
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    service_account: String,
    /// The pod's name
    #[arg(long, default_value = "latchkey-mount", value_name = "NAME")]
    pod: String,
    /// A token of the pod, read from FILE; repeat for several audiences
    #[arg(long = "token", value_name = "AUDIENCE=FILE")]
    tokens: Vec<String>,
    /// Write the files into this folder as the driver would; without it nothing is written
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The configuration file
    #[arg(long, env = "LATCHKEY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// One file of the result; never its content.
#[derive(Serialize)]
struct Row {
    path: String,
    mode: String,
    bytes: usize,
    version: String,
    from: String,
}

#[derive(Serialize)]
struct Report<'a> {
    class: &'a str,
    namespace: &'a str,
    #[serde(rename = "serviceAccount")]
    account: &'a str,
    /// What `--out` did; `null` without it.
    outcome: Option<Outcome>,
    files: &'a [Row],
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Written,
    Unchanged,
}

pub(super) fn run(args: &MountArgs, around: Around, out: &mut dyn Write) -> Result<(), Failure> {
    let config = config::load(args.config.as_deref()).map_err(Failure::Usage)?;
    let class = class(args).map_err(Failure::Usage)?;
    let namespace = args.namespace.clone().or_else(|| class.namespace.clone());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    let clock = Clock::system();
    let pod = pod(args, &namespace, clock).map_err(Failure::Usage)?;
    let request = driver::request(&class.name, &class.parameters, &pod, &Flavour::Driver16);
    let envelope = driver::envelope(request);
    let trail = Box::new(std::io::stderr());
    let delivery = runtime()?.block_on(app::mount(&config, around, trail, &class.provider, envelope));
    let delivery = delivery.map_err(Failure::Work)?;
    let rows = rows(&delivery);
    let outcome = args.out.as_deref().map(|folder| write(folder, &delivery, clock)).transpose()?;
    let report = Report {
        class: &class.name,
        namespace: &namespace,
        account: &args.service_account,
        outcome,
        files: &rows,
    };
    print(args, &report, out).map_err(|error| Failure::Work(unwritable(&error).into()))
}

fn class(args: &MountArgs) -> Result<Class, Problems> {
    let unreadable = |error: std::io::Error| {
        Problem::new(Reason::Invalid, format!("the manifest cannot be read: {}", error.kind()))
            .parameter("--file")
            .hop(args.file.display().to_string())
    };
    let text = if args.file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map_err(unreadable)?
    } else {
        std::fs::read_to_string(&args.file).map_err(unreadable)?
    };
    let mut classes = Class::parse_all(&text)?;
    let names: Vec<String> = classes.iter().map(|class| class.name.clone()).collect();
    let wrong = |what: &str| Problem::new(Reason::Invalid, what);
    let index = match &args.name {
        _ if names.is_empty() => {
            let problem = wrong("the manifest has no SecretProviderClass").parameter("--file");
            return Err(problem.hop(args.file.display().to_string()).into());
        }
        Some(name) => names.iter().position(|known| known == name).ok_or_else(|| {
            let near = nearest(name, names.iter().map(String::as_str));
            wrong("the manifest has no class of that name").parameter("--name").remedy(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("choose one: {}", names.join(", ")),
            })
        })?,
        None if names.len() > 1 => {
            let problem = wrong("the manifest has several classes").parameter("--name");
            return Err(problem.remedy(format!("choose one: {}", names.join(", "))).into());
        }
        None => 0,
    };
    Ok(classes.swap_remove(index))
}

fn pod(args: &MountArgs, namespace: &str, clock: Clock) -> Result<Pod, Problems> {
    let mut tokens = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in &args.tokens {
        let problem = |what: &str| {
            Problem::new(Reason::Invalid, what).parameter("--token").remedy("write AUDIENCE=FILE")
        };
        let Some((audience, file)) = entry.rsplit_once('=') else {
            problems.push(problem("has no `=`"));
            continue;
        };
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let expires = clock.wall().plus(TOKEN_LIFE);
                tokens.insert(audience.to_owned(), PodToken { token: text.trim().to_owned(), expires });
            }
            Err(error) => {
                problems.push(problem(&format!("its file cannot be read: {}", error.kind())).hop(file))
            }
        }
    }
    Problems::check(problems)?;
    // Kubelet binds tokens to a pod, and the two must agree: the pod that is played is then the token's own.
    let bound = tokens.values().find_map(|token: &PodToken| model::token::pod(&token.token));
    let (name, uid) = bound.unwrap_or_else(|| (args.pod.clone(), UID.to_owned()));
    Ok(Pod {
        namespace: namespace.to_owned(),
        service_account: args.service_account.clone(),
        name,
        uid,
        volume: "secrets".to_owned(),
        tokens,
        ..Pod::default()
    })
}

/// The uid of the pod that is played where no token is bound to one.
const UID: &str = "00000000-0000-4000-8000-000000000000";
/// Later than any token's own `exp`, which is what counts.
const TOKEN_LIFE: Duration = Duration::from_secs(86_400);

fn rows(delivery: &Delivery) -> Vec<Row> {
    let files = delivery.rendered.files().iter().zip(delivery.rendered.versions());
    let rows = files.map(|(file, version)| Row {
        path: file.path.to_string(),
        mode: file.mode.to_string(),
        bytes: file.contents.len(),
        version: version.version.clone(),
        from: delivery.plan.sources().get(file.source).map_or_else(String::new, |source| {
            format!("{} {} ({})", source.access.store(), source.locator, source.name)
        }),
    });
    rows.collect()
}

fn write(folder: &Path, delivery: &Delivery, clock: Clock) -> Result<Outcome, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let problem = Problem::new(Reason::Setup, format!("the folder cannot be made: {}", error.kind()));
        Failure::Work(problem.parameter("--out").hop(folder.display().to_string()).into())
    })?;
    let contents: Vec<_> = delivery.rendered.files().iter().map(|file| file.contents.share()).collect();
    let files: Vec<NewFile<'_>> = delivery
        .rendered
        .files()
        .iter()
        .zip(&contents)
        .map(|(file, contents)| NewFile { path: file.path.as_str(), mode: file.mode.bits().into(), contents })
        .collect();
    match driver::write(folder, &files, clock.wall()) {
        Ok(Written::Replaced) => Ok(Outcome::Written),
        Ok(Written::Unchanged) => Ok(Outcome::Unchanged),
        Err(problem) => Err(Failure::Work(problem.parameter("--out").into())),
    }
}

fn print(args: &MountArgs, report: &Report<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    if args.output == Output::Json {
        serde_json::to_writer_pretty(&mut *out, report)?;
        return writeln!(out);
    }
    writeln!(out, "{} for {}/{} (as the administrator)", report.class, report.namespace, report.account)?;
    let width = report.files.iter().map(|row| row.path.len()).max().unwrap_or(0);
    for row in report.files {
        writeln!(
            out,
            "  {:width$}  {}  {:>7} B  {}  {}",
            row.path, row.mode, row.bytes, row.version, row.from
        )?;
    }
    match (report.outcome, &args.out) {
        (Some(Outcome::Written), Some(folder)) => writeln!(out, "written: {}", folder.display()),
        (Some(Outcome::Unchanged), Some(folder)) => writeln!(out, "unchanged: {}", folder.display()),
        _ => writeln!(out, "nothing written: a dry run without --out"),
    }
}
