//! `latchkey demo`: the whole thing on this machine, in one command, without root and without a network. Here is the
//! stage, a folder with a store and a running agent; what is played on it stands in `scenes`.

mod scenes;

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::SocketAddr as SocketName;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio_util::sync::CancellationToken;

use self::scenes::{Files, Stage};
use super::{Failure, runtime, unwritable};
use crate::app::local::Keeper;
use crate::app::{self, Settings};
use crate::clock::Clock;
use crate::config;
use crate::error::{Problem, Problems, Reason};
use crate::model::Class;
use crate::telemetry::Metrics;

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Keep the agent running at the end, and say how to look at it; Ctrl-C ends it
    #[arg(long)]
    keep: bool,
}

/// The class that the demo mounts, as a team would write it.
const CLASS: &str = include_str!("../../../examples/demo.yaml");

pub(super) fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let folder = Folder::make()?;
    let mut stage = prepare(Files::of(&folder.0), out)?;
    play(&mut stage, args.keep)?;
    folder.remove()?;
    writeln!(out, "\nCleaned up: the agent has stopped, and the folder is gone.")
        .map_err(|error| work(unwritable(&error)))
}

/// A folder of our own, which nobody else may enter. It goes when it is dropped, however the play ends.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, Failure> {
        let mut name = [0u8; 8];
        crate::secret::fill_random(&mut name);
        let name = u64::from_be_bytes(name);
        let folder = config::temporary().join(format!("latchkey-demo-{name:016x}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map(|()| Self(folder.clone())).map_err(|error| spoilt(&folder, &error))
    }

    fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.0).map_err(|error| spoilt(&self.0, &error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Unix bounds the path of a socket, and the agent binds under a longer name first, with its process id.
fn short_enough(sockets: &Path) -> Result<(), Failure> {
    let longest = sockets.join(".latchkey.sock.4194304");
    SocketName::from_pathname(&longest).map(drop).map_err(|_| {
        let problem = Problem::new(Reason::Setup, "the path is too long for sockets");
        work(problem.hop(sockets.display().to_string()).remedy("name a folder with a shorter path in TMPDIR"))
    })
}

/// Fills the folder: an empty store with its key, a configuration, the class, and room for sockets and files.
fn prepare<'a>(files: Files, out: &'a mut dyn Write) -> Result<Stage<'a>, Failure> {
    short_enough(&files.sockets)?;
    for folder in [&files.sockets, &files.volume] {
        fs::create_dir(folder).map_err(|error| spoilt(folder, &error))?;
    }
    let (keeper, _) = Keeper::init(&files.store, &files.identity).map_err(work)?;
    // With `required` an answer comes after its audit lines, so that the last scene finds them all.
    // A JSON string is a YAML scalar whatever the path has in it.
    let quoted = |path: &Path| serde_json::Value::from(path.display().to_string());
    let configuration = format!(
        "stores:\n  local: {{ file: {}, identity: {} }}\naudit: {{ sink: {}, required: true }}\n",
        quoted(&files.store),
        quoted(&files.identity),
        quoted(&files.audit),
    );
    for (path, text) in [(&files.config, configuration.as_str()), (&files.class, CLASS)] {
        fs::write(path, text).map_err(|error| spoilt(path, &error))?;
    }
    let classes = Class::parse_all(CLASS).map_err(Failure::Work)?;
    let class = classes.into_iter().next().ok_or_else(|| bug("the demo has no class"))?;
    Ok(Stage::new(files, out, Clock::system(), keeper, class))
}

/// Runs the agent and plays the scenes against it, until they are told or the process is asked to end.
fn play(stage: &mut Stage<'_>, keep: bool) -> Result<(), Failure> {
    let clock = Clock::system();
    let config = config::load(Some(&stage.files.config)).map_err(Failure::Work)?;
    let settings = Settings {
        socket_dir: stage.files.sockets.clone(),
        other_socket_dirs: Vec::new(),
        providers: Vec::new(),
        admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        around: app::as_is,
        stdout: Box::new(io::sink()),
        watch: None,
        level: None,
        end: Box::new(|| {}),
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    runtime()?.block_on(async {
        let interrupted = app::interrupted().map_err(Failure::Work)?;
        let agent = app::serve(settings, config, Metrics::new(app::VERSION, false, clock), stopped);
        let scenes = async {
            let told = tokio::select! {
                told = stage.tell(keep) => told,
                () = interrupted => Ok(()),
            };
            stop.cancel();
            Ok(told)
        };
        // An agent that does not start ends the play; scenes that fail let the agent end in its own way.
        let ((), told) = tokio::try_join!(async { agent.await.map_err(Failure::Work) }, scenes)?;
        told
    })
}

fn spoilt(path: &Path, error: &io::Error) -> Failure {
    let problem = Problem::new(Reason::Setup, format!("the demo cannot use its folder ({})", error.kind()));
    work(problem.hop(path.display().to_string()).remedy("free space there, or name another folder in TMPDIR"))
}

fn bug(what: &str) -> Failure {
    work(Problem::new(Reason::Bug, what))
}

fn work(problem: impl Into<Problems>) -> Failure {
    Failure::Work(problem.into())
}
