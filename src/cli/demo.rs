//! `latchkey demo`: the whole thing on this machine, in one command, without root and without a network. What it
//! prints is meant to be read: it tells the idea by showing it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Failure, runtime, unwritable};
use crate::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use crate::app::{self, Settings};
use crate::clock::Clock;
use crate::config;
use crate::driver::{self, Client, Flavour, NewFile, Pod};
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
const CLASS: &str = include_str!("../../examples/demo.yaml");
const NAMESPACE: &str = "shop";
const VOLUME: &str = "secrets";
/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let folder = folder().map_err(|error| unwritable(&error))?;
    let result = stage(&folder, args.keep, out);
    let removed = fs::remove_dir_all(&folder);
    result?;
    removed
        .and_then(|()| say(out, "\nCleaned up: the folder is gone, the agent has stopped."))
        .map_err(|error| unwritable(&error))
}

/// A folder of our own, which nobody else may enter.
fn folder() -> io::Result<PathBuf> {
    let mut name = [0u8; 8];
    crate::secret::fill_random(&mut name);
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = config::temporary().join(format!("latchkey-demo-{name}"));
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&folder)?;
    Ok(folder)
}

/// Everything that the scenes share.
struct Stage<'a> {
    folder: &'a Path,
    out: &'a mut dyn Write,
    clock: Clock,
    keeper: Keeper,
    class: Class,
    client: Client,
    shown: u64,
}

fn stage(folder: &Path, keep: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let place = |name: &str| folder.join(name);
    let write = |path: &Path, text: &str| fs::write(path, text).map_err(|error| unwritable(&error));
    fs::create_dir(place("sockets"))
        .and_then(|()| fs::create_dir(place("volume")))
        .map_err(|error| unwritable(&error))?;
    let (keeper, _) = Keeper::init(&place("store.age"), &place("key.txt")).map_err(work)?;
    let configuration = format!(
        "stores:\n  local: {{ file: {}, identity: {} }}\naudit: {{ sink: {} }}\n",
        place("store.age").display(),
        place("key.txt").display(),
        place("audit.jsonl").display(),
    );
    write(&place("latchkey.yaml"), &configuration)?;
    write(&place("class.yaml"), CLASS)?;
    let config = config::load(Some(&place("latchkey.yaml"))).map_err(Failure::Work)?;
    let classes = Class::parse_all(CLASS).map_err(Failure::Work)?;
    let class =
        classes.into_iter().next().ok_or_else(|| work(Problem::new(Reason::Bug, "the demo has no class")))?;
    let clock = Clock::system();
    let client = Client::new(place("sockets/latchkey.sock"), clock);
    let mut stage = Stage { folder, out, clock, keeper, class, client, shown: 0 };

    let settings = Settings {
        socket_dir: place("sockets"),
        providers: Vec::new(),
        admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        around: app::as_is,
        stdout: Box::new(io::sink()),
        end: || {},
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    runtime()?.block_on(async {
        let agent = app::serve(settings, config, Metrics::new(app::VERSION, false, clock), stopped);
        let scenes = async {
            let told = stage.tell(keep).await;
            stop.cancel();
            told
        };
        let (agent, told) = tokio::join!(agent, scenes);
        told?;
        agent.map_err(Failure::Work)
    })
}

impl Stage<'_> {
    async fn tell(&mut self, keep: bool) -> Result<(), Failure> {
        self.store()?;
        self.agent().await?;
        self.first_mount().await?;
        self.rotation().await?;
        self.refusal().await?;
        self.trail()?;
        if keep { self.kept().await } else { Ok(()) }
    }

    fn store(&mut self) -> Result<(), Failure> {
        self.title("1. A store: one encrypted file, and each entry names who may read it")?;
        self.set(
            "prod/db",
            Some("shop/web"),
            &[("username", "web"), ("password", "correct-horse-battery-staple")],
        )?;
        self.set("prod/stripe", Some("shop/web"), &[("", "sk_demo_4eC39HqLyjWDarjtT1zdp7dc")])?;
        for row in self.keeper.list().map_err(work)? {
            let readers: Vec<String> = row.readers.iter().map(ToString::to_string).collect();
            self.say(&format!(
                "   {:<12} version {}   may be read by {}",
                row.path.to_string(),
                row.versions.len(),
                readers.join(", ")
            ))?;
        }
        self.say("\n   and a SecretProviderClass that asks for them, what to read and what to write:\n")?;
        for line in CLASS.lines().skip_while(|line| !line.starts_with("spec:")) {
            self.say(&format!("   | {line}"))?;
        }
        Ok(())
    }

    async fn agent(&mut self) -> Result<(), Failure> {
        self.title("2. The agent, on the socket where the driver looks for it")?;
        let until = self.clock.now() + PATIENCE;
        let version = loop {
            match self.client.version(PATIENCE).await {
                Ok(version) => break version,
                Err(refusal) if self.clock.now() >= until => {
                    return Err(work(Problem::new(Reason::Unreachable, refusal.text)));
                }
                Err(_) => self.clock.sleep(Duration::from_millis(10)).await,
            }
        };
        self.say(&format!("   {}", self.folder.join("sockets/latchkey.sock").display()))?;
        self.say(&format!(
            "   Version → {} {}, speaks {}",
            version.runtime_name, version.runtime_version, version.version
        ))
    }

    async fn first_mount(&mut self) -> Result<(), Failure> {
        self.title(
            "3. Pod shop/web-1 starts: the driver asks with its service account, and writes what it gets",
        )?;
        self.mount_and_write().await?;
        self.files()
    }

    async fn rotation(&mut self) -> Result<(), Failure> {
        self.title(
            "4. The password changes in the store; the driver's next poll brings it into the running pod",
        )?;
        self.set("prod/db", None, &[("username", "web"), ("password", "hunter2-but-longer")])?;
        self.mount_and_write().await?;
        self.files()?;
        self.say("\n   and a poll after which nothing has changed:")?;
        self.mount_and_write().await
    }

    async fn refusal(&mut self) -> Result<(), Failure> {
        self.title("5. Pod shop/batch-1 runs as another service account and asks for the same")?;
        let pod = pod("batch", "batch-1");
        let request = driver::request(&self.class.name, &self.class.parameters, &pod, &Flavour::Driver16);
        match self.client.mount(request, Some(PATIENCE)).await {
            Ok(_) => Err(work(Problem::new(Reason::Bug, "the demo delivered what it should have refused"))),
            Err(refusal) => {
                self.say("   It gets nothing, and `kubectl describe pod` shows why:\n")?;
                let event = refusal.event(VOLUME, NAMESPACE, "batch-1");
                self.say(&format!("   Warning  FailedMount  {}", event.replace('\n', "\n   ")))
            }
        }
    }

    fn trail(&mut self) -> Result<(), Failure> {
        self.title("6. The audit trail: who got what, and who did not; never a value")?;
        let trail =
            fs::read_to_string(self.folder.join("audit.jsonl")).map_err(|error| unwritable(&error))?;
        for line in trail.lines() {
            self.say(&format!("   {line}"))?;
        }
        Ok(())
    }

    async fn kept(&mut self) -> Result<(), Failure> {
        self.title("The agent keeps running. To look at it from another terminal:")?;
        let at = |name: &str| self.folder.join(name).display().to_string();
        let lines = [
            format!("   ls -la {}", at("volume")),
            format!("   tail -f {}", at("audit.jsonl")),
            format!(
                "   latchkey mount -f {} --config {} -n shop -s web",
                at("class.yaml"),
                at("latchkey.yaml")
            ),
            format!("   latchkey local list --file {} --identity {}", at("store.age"), at("key.txt")),
            format!("   socket: {}", at("sockets/latchkey.sock")),
        ];
        for line in lines {
            self.say(&line)?;
        }
        self.say("\n   Ctrl-C ends it and removes the folder.")?;
        self.out.flush().map_err(|error| unwritable(&error))?;
        app::interrupted().map_err(Failure::Work)?.await;
        Ok(())
    }

    async fn mount_and_write(&mut self) -> Result<(), Failure> {
        let pod = pod("web", "web-1");
        let request = driver::request(&self.class.name, &self.class.parameters, &pod, &Flavour::Driver16);
        let start = self.clock.now();
        let mounted = self.client.mount(request, Some(PATIENCE)).await;
        let mounted = mounted.map_err(|refusal| work(Problem::new(Reason::Upstream, refusal.text)))?;
        let took = self.clock.now() - start;
        let files: Vec<NewFile<'_>> = mounted
            .files
            .iter()
            .map(|(path, mode, contents)| NewFile { path, mode: *mode, contents })
            .collect();
        let written = driver::write(&self.folder.join("volume"), &files, self.clock.wall()).map_err(work)?;
        let word = match written {
            driver::Written::Replaced => "the volume was replaced in one step",
            driver::Written::Unchanged => "nothing to write",
        };
        self.shown += 1;
        self.say(&format!(
            "   Mount #{} → {} files in {:.1} ms; {word}",
            self.shown,
            files.len(),
            took.as_secs_f64() * 1000.0
        ))
    }

    fn files(&mut self) -> Result<(), Failure> {
        let root = self.folder.join("volume");
        self.say(&format!("   {}", root.display()))?;
        let mut paths = Vec::new();
        walk(&root.join("..data/"), "", &mut paths).map_err(|error| unwritable(&error))?;
        for (path, mode, content) in paths {
            self.say(&format!("   ├─ {path:<14} {mode:04o}  {content}"))?;
        }
        let target = fs::read_link(root.join("..data")).map_err(|error| unwritable(&error))?;
        self.say(&format!(
            "   └─ ..data → {}   (the driver's layout: one link swaps all files at once)",
            target.display()
        ))
    }

    fn set(&self, path: &str, reader: Option<&str>, fields: &[(&str, &str)]) -> Result<(), Failure> {
        let bug = || work(Problem::new(Reason::Bug, "the demo's own store entry is wrong"));
        let value = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        let content = match fields {
            [("", only)] => Content::Value(value(only)),
            fields => Content::Fields(
                fields
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), value(text)))
                    .collect::<BTreeMap<_, _>>(),
            ),
        };
        let add = reader.map(|text| Reader::parse(text).ok_or_else(bug)).transpose()?;
        let readers = Readers { clear: false, add: add.into_iter().collect() };
        self.keeper.set(&EntryPath::parse(path).ok_or_else(bug)?, &readers, Some(content)).map_err(work)?;
        Ok(())
    }

    fn title(&mut self, text: &str) -> Result<(), Failure> {
        self.say(&format!("\n{text}\n"))
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        say(self.out, text).map_err(|error| unwritable(&error))
    }
}

fn say(out: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}")
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, u32, String)>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let meta = fs::metadata(entry.path())?;
        if meta.is_dir() {
            walk(&entry.path(), &format!("{name}/"), found)?;
        } else {
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777;
            found.push((name, mode, String::from_utf8_lossy(&fs::read(entry.path())?).into_owned()));
        }
    }
    Ok(())
}

fn pod(account: &str, name: &str) -> Pod {
    Pod {
        namespace: NAMESPACE.to_owned(),
        service_account: account.to_owned(),
        name: name.to_owned(),
        uid: format!("11111111-2222-4333-8444-{:0>12}", name.len()),
        volume: VOLUME.to_owned(),
        ..Pod::default()
    }
}

fn work(problem: impl Into<Problems>) -> Failure {
    Failure::Work(problem.into())
}
