//! The command line: what was typed becomes what is meant, what comes back becomes text and an exit code. Exit codes:
//! 0 done, 1 failed, 2 usage or configuration.

#[cfg(feature = "local")]
mod demo;
mod lint;
#[cfg(feature = "local")]
pub mod local;
mod mount;
mod reference;
mod serve;

use std::io::{self, Write};

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::{Builder, Runtime};

use crate::app::{self, Around};
use crate::error::{Problem, Problems, Reason};
pub use reference::reference;

/// What a command may fail with.
enum Failure {
    /// The tool's own flags or configuration: exit code 2.
    Usage(Problems),
    /// The work itself: exit code 1.
    Work(Problems),
    /// Exit code 1, and what there is to say has been printed.
    Told,
}

#[derive(Parser)]
#[command(name = "latchkey", version, about, max_term_width = 110)]
#[command(
    long_about = "Secrets from every store a team uses, delivered into Kubernetes pods through the Secrets Store \
                        CSI Driver.\nStart with `latchkey demo`: it needs nothing."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The node agent: serves the driver on unix sockets until SIGTERM
    Serve(serve::ServeArgs),
    /// The whole thing on this machine: an embedded store, the agent, a client that plays the driver
    #[cfg(feature = "local")]
    Demo(demo::DemoArgs),
    /// Mount one SecretProviderClass as the driver would, without a cluster; a dry run unless --out is given
    Mount(mount::MountArgs),
    /// Check manifests offline: what is wrong in them, and which addresses the configuration has to permit
    Lint(lint::LintArgs),
    /// Manage the embedded encrypted store
    #[cfg(feature = "local")]
    Local(local::LocalArgs),
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Runs the program and says its exit code. `end` ends the process when the runtime stands still.
pub fn main(end: fn()) -> u8 {
    run(app::as_is, end)
}

/// Runs the program with something around every store.
pub fn run(around: Around, end: fn()) -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let result = match &cli.command {
        Command::Serve(args) => serve::run(args, around, end),
        #[cfg(feature = "local")]
        Command::Demo(args) => demo::run(args, &mut io::stdout()),
        Command::Mount(args) => mount::run(args, around, &mut io::stdout()),
        Command::Lint(args) => lint::run(args, &mut io::stdout()),
        #[cfg(feature = "local")]
        Command::Local(args) => {
            local::run(args, &mut io::stdout(), &mut *local::input()).map_err(|problems| {
                if problems.reason() == Reason::Invalid {
                    Failure::Usage(problems)
                } else {
                    Failure::Work(problems)
                }
            })
        }
    };
    let (problems, code) = match result {
        Ok(()) => return 0,
        Err(Failure::Told) => return 1,
        Err(Failure::Work(problems)) => (problems, 1),
        Err(Failure::Usage(problems)) => (problems, 2),
    };
    let _ = writeln!(io::stderr(), "latchkey: {problems}");
    code
}

/// Two workers: a mount waits on backends, not on processors, and a node runs many agents' worth of pods.
const WORKERS: usize = 2;

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().map_err(|error| {
        Failure::Work(
            Problem::new(Reason::Setup, format!("the runtime does not start: {}", error.kind())).into(),
        )
    })
}

/// What was to be printed cannot be.
fn unwritable(error: &io::Error) -> Problem {
    Problem::new(Reason::Setup, format!("the output cannot be written ({})", error.kind()))
        .remedy("free space there, or write elsewhere")
}
