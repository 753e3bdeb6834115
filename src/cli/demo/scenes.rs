//! The scenes of `latchkey demo`. What they print is meant to be read: it tells the idea by showing it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::{CLASS, bug, spoilt, work};
use crate::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use crate::cli::{Failure, unwritable};
use crate::clock::Clock;
use crate::driver::{self, Client, Flavour, NewFile, Pod};
use crate::error::{Problem, Reason};
use crate::model::Class;

const NAMESPACE: &str = "shop";
const VOLUME: &str = "secrets";
/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who does what, before anything happens.
const ROLES: &str = "\
Latchkey is an agent on each Kubernetes node. A pod's volume names a SecretProviderClass; the
Secrets Store CSI Driver asks the agent for it; the agent reads the stores and answers with files.
Below, everything is real but the driver and the pods, which this program plays.";

/// What lies where in the demo's folder.
pub(super) struct Files {
    pub(super) sockets: PathBuf,
    pub(super) volume: PathBuf,
    pub(super) store: PathBuf,
    pub(super) identity: PathBuf,
    pub(super) audit: PathBuf,
    pub(super) config: PathBuf,
    pub(super) class: PathBuf,
}

impl Files {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            sockets: folder.join("sockets"),
            volume: folder.join("volume"),
            store: folder.join("store.age"),
            identity: folder.join("key.txt"),
            audit: folder.join("audit.jsonl"),
            config: folder.join("latchkey.yaml"),
            class: folder.join("class.yaml"),
        }
    }

    fn socket(&self) -> PathBuf {
        self.sockets.join("latchkey.sock")
    }
}

/// Everything that the scenes share.
pub(super) struct Stage<'a> {
    pub(super) files: Files,
    out: &'a mut dyn Write,
    clock: Clock,
    keeper: Keeper,
    class: Class,
    client: Client,
    mounts: u64,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        files: Files,
        out: &'a mut dyn Write,
        clock: Clock,
        keeper: Keeper,
        class: Class,
    ) -> Self {
        let client = Client::new(files.socket(), clock);
        Self { files, out, clock, keeper, class, client, mounts: 0 }
    }

    /// All scenes, one after the other; with `keep` it never ends by itself.
    pub(super) async fn tell(&mut self, keep: bool) -> Result<(), Failure> {
        self.say(ROLES)?;
        self.store()?;
        self.agent().await?;
        self.first_mount().await?;
        self.rotation().await?;
        self.refusal().await?;
        self.trail(keep)?;
        if keep {
            self.how_to_look()?;
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn store(&mut self) -> Result<(), Failure> {
        self.title("1. A store: one encrypted file, in which each entry names who may read it")?;
        let web = Some("shop/web");
        self.set("prod/db", web, login("web", "correct-horse-battery-staple"))?;
        self.set("prod/stripe", web, value("sk_demo_4eC39HqLyjWDarjtT1zdp7dc"))?;
        for row in self.keeper.list().map_err(work)? {
            let readers: Vec<String> = row.readers.iter().map(ToString::to_string).collect();
            self.say(&format!(
                "   {:<12} version {}   may be read by {}",
                row.path.to_string(),
                row.versions.last().map_or(0, |newest| newest.number),
                readers.join(", ")
            ))?;
        }
        self.say("\n   And a SecretProviderClass, which says what to read and what to write:\n")?;
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
        self.say(&format!("   {}", self.files.socket().display()))?;
        self.say(&format!(
            "   Version → {} {}, speaks {}",
            version.runtime_name, version.runtime_version, version.version
        ))
    }

    async fn first_mount(&mut self) -> Result<(), Failure> {
        self.title(
            "3. Pod shop/web-1 starts: the driver asks on behalf of its service account, and writes the answer",
        )?;
        self.mount_and_write().await?;
        self.show_volume()?;
        self.say(
            "\n   Top-level names lead through `..data`, the driver's layout: one link swaps all files at once.\
             \n   banner.txt is missing, and that is no error: its secret is optional, and not in the store.",
        )
    }

    async fn rotation(&mut self) -> Result<(), Failure> {
        self.title(
            "4. The password changes in the store, and the driver's next poll brings it into the running pod",
        )?;
        self.set("prod/db", None, login("web", "hunter2-but-longer"))?;
        self.mount_and_write().await?;
        self.show_volume()?;
        self.say("\n   And a poll when nothing has changed:\n")?;
        self.mount_and_write().await
    }

    async fn refusal(&mut self) -> Result<(), Failure> {
        self.title("5. Pod shop/batch-1 runs as another service account, and asks for the same")?;
        let pod = pod("batch", "batch-1", "5e1d0c8a-7c1b-4f1e-9a53-0b6f2d9c4e02");
        let request = driver::request(&self.class.name, &self.class.parameters, &pod, &Flavour::Driver16);
        match self.client.mount(request, Some(PATIENCE)).await {
            Ok(_) => Err(bug("the demo delivered what it should have refused")),
            Err(refusal) => {
                self.say("   It gets nothing, and `kubectl describe pod` shows why:\n")?;
                let event = refusal.event(VOLUME, NAMESPACE, &pod.name);
                self.say(&format!("   Warning  FailedMount  {}", event.replace('\n', "\n   ")))
            }
        }
    }

    fn trail(&mut self, keep: bool) -> Result<(), Failure> {
        self.title("6. The audit trail: who got what, and who did not; never a value")?;
        let path = self.files.audit.clone();
        let trail = fs::read_to_string(&path).map_err(|error| spoilt(&path, &error))?;
        let (Some(first), Some(last)) = (trail.lines().next(), trail.lines().last()) else {
            return Err(bug("the demo has no audit trail"));
        };
        self.say(&format!(
            "   The first line and the last, as they were written:\n\n   {first}\n   {last}\n"
        ))?;
        self.say("   All of them, in short:\n")?;
        self.row(["EVENT", "OBJECT", "SERVICE ACCOUNT", "OUTCOME", "REASON"])?;
        for line in trail.lines() {
            let line: Value = serde_json::from_str(line).map_err(|_| bug("an audit line is no JSON"))?;
            let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
            let account = format!("{}/{}", text("namespace"), text("serviceAccount"));
            self.row([text("event"), text("object"), &account, text("outcome"), text("reason")])?;
        }
        self.say(
            "\n   Mount #3 brought nothing new, so it has no line of its own: such polls are counted, and summed\
             \n   up in one line an hour.",
        )?;
        if keep { self.say(&format!("   The file with all lines: {}", path.display())) } else { Ok(()) }
    }

    fn row(&mut self, [event, object, account, outcome, reason]: [&str; 5]) -> Result<(), Failure> {
        let row = format!("   {event:<8} {object:<12} {account:<16} {outcome:<10} {reason}");
        self.say(row.trim_end())
    }

    fn how_to_look(&mut self) -> Result<(), Failure> {
        self.title("The agent keeps running. To look at it from another terminal:")?;
        let Files { volume, store, identity, audit, config, class, .. } = &self.files;
        let (volume, audit, socket) = (volume.display(), audit.display(), self.files.socket());
        let store = format!("--file {} --identity {}", store.display(), identity.display());
        let mount = format!("latchkey mount -f {} --config {} -s web", class.display(), config.display());
        let text = format!(
            "   # what the pod sees\
             \n   ls -laR {volume}\
             \n   # the audit trail\
             \n   tail -f {audit}\
             \n   # the entries of the store\
             \n   latchkey local list {store}\
             \n   # change a secret\
             \n   printf NEW | latchkey local set prod/stripe {store}\
             \n   # see what the pod would get, and bring it there as the driver's next poll would\
             \n   {mount}\
             \n   {mount} --out {volume}\
             \n\n   socket: {}\
             \n\n   Ctrl-C ends the agent and removes the folder.",
            socket.display(),
        );
        self.say(&text)?;
        self.out.flush().map_err(|error| work(unwritable(&error)))
    }

    async fn mount_and_write(&mut self) -> Result<(), Failure> {
        let pod = pod("web", "web-1", "0d6a1f52-3b7e-4c55-8f0e-2a9b7c61d501");
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
        let written = driver::write(&self.files.volume, &files, self.clock.wall()).map_err(work)?;
        let word = match written {
            driver::Written::Replaced => "the volume was replaced in one step",
            driver::Written::Unchanged => "nothing to write",
        };
        self.mounts += 1;
        self.say(&format!(
            "   Mount #{} → {} files in {:.1} ms; {word}",
            self.mounts,
            files.len(),
            took.as_secs_f64() * 1000.0
        ))
    }

    fn show_volume(&mut self) -> Result<(), Failure> {
        let root = self.files.volume.clone();
        let link = root.join("..data");
        let mut found = Vec::new();
        walk(&link, "", &mut found).map_err(|error| spoilt(&link, &error))?;
        self.say(&format!("   {}", root.display()))?;
        for (path, mode, content) in found {
            self.say(&format!("   ├─ {path:<12} {mode:04o}  {content}"))?;
        }
        let target = fs::read_link(&link).map_err(|error| spoilt(&link, &error))?;
        self.say(&format!("   └─ ..data → {}", target.display()))
    }

    fn set(&self, path: &str, reader: Option<&str>, content: Content) -> Result<(), Failure> {
        let wrong = || bug("the demo's own store entry is wrong");
        let add = reader.map(|text| Reader::parse(text).ok_or_else(wrong)).transpose()?;
        let readers = Readers { clear: false, add: add.into_iter().collect() };
        let path = EntryPath::parse(path).ok_or_else(wrong)?;
        self.keeper.set(&path, &readers, Some(content)).map(drop).map_err(work)
    }

    fn title(&mut self, text: &str) -> Result<(), Failure> {
        self.say(&format!("\n{text}\n"))
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(|error| work(unwritable(&error)))
    }
}

/// Every file below a folder: its path there, its mode, its content.
fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, u32, String)>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let meta = fs::metadata(entry.path())?;
        if meta.is_dir() {
            walk(&entry.path(), &format!("{name}/"), found)?;
        } else {
            let content = String::from_utf8_lossy(&fs::read(entry.path())?).into_owned();
            found.push((name, meta.permissions().mode() & 0o7777, content));
        }
    }
    Ok(())
}

fn value(text: &str) -> Content {
    Content::Value(bytes(text))
}

fn login(username: &str, password: &str) -> Content {
    let fields = [("username", username), ("password", password)];
    Content::Fields(fields.into_iter().map(|(name, text)| (name.to_owned(), bytes(text))).collect())
}

fn bytes(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

fn pod(account: &str, name: &str, uid: &str) -> Pod {
    Pod {
        namespace: NAMESPACE.to_owned(),
        service_account: account.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        volume: VOLUME.to_owned(),
        ..Pod::default()
    }
}
