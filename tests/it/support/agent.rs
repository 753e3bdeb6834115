//! A running agent as a process of its own, with an embedded store in a folder of its own, and everything that a test
//! may want to look at: socket, log, audit lines, figures, probes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use latchkey::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use latchkey::clock::Clock;
use latchkey::driver::{Client, Flavour, Limit, Mounted, Pod, Refusal, request};
use latchkey::proto::MountRequest;
use zeroize::Zeroizing;

/// An agent's folder and process. Both go when it is dropped.
pub(crate) struct Agent {
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) child: Option<Child>,
    pub(crate) admin: SocketAddr,
    binary: PathBuf,
    /// Whose sockets it serves: our own dialect's, which most tests watch, unless a test says
    /// otherwise; empty for all that there are.
    pub(crate) providers: &'static str,
}

/// The program that is shipped.
pub(crate) fn shipped() -> PathBuf {
    env!("CARGO_BIN_EXE_latchkey").into()
}

/// The same with faults around its stores.
pub(crate) fn faulty() -> PathBuf {
    let tests = std::env::current_exe().expect("the test's own path");
    tests.parent().and_then(Path::parent).expect("the profile's folder").join("examples/faulty-agent")
}

impl Agent {
    /// Prepares a folder: a store whose entries `web/*` may be read by every account of namespace `web`.
    pub(crate) fn prepare(binary: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("sockets")).expect("a folder");
        Keeper::init(&folder.path().join("store.age"), &folder.path().join("key.txt")).expect("a store");
        let folder = Arc::new(folder);
        let agent = Self { folder, child: None, admin: free_address(), binary, providers: "latchkey" };
        agent.set("web/token", "web/*", &[("", "s3cr3t-token")]);
        agent.set("web/db", "web/*", &[("username", "web"), ("password", "s3cr3t-password")]);
        agent.set("web/one", "web/one", &[("", "for one only")]);
        agent.configure("");
        agent
    }

    /// An agent that answers.
    pub(crate) fn start(binary: PathBuf) -> Self {
        let mut agent = Self::prepare(binary);
        agent.run();
        agent
    }

    /// Another agent over the same folder: store, configuration, sockets, log and audit file are shared, the admin
    /// address is its own. Not started.
    pub(crate) fn beside(&self) -> Self {
        Self {
            folder: Arc::clone(&self.folder),
            child: None,
            admin: free_address(),
            binary: self.binary.clone(),
            providers: self.providers,
        }
    }

    /// Writes the configuration: the store, the audit file, and what the test adds.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            "stores:\n  local: {{ file: {}, identity: {} }}\naudit:\n  sink: {}\n{more}",
            self.path("store.age").display(),
            self.path("key.txt").display(),
            self.path("audit.jsonl").display(),
        );
        fs::write(self.path("latchkey.yaml"), text).expect("a configuration");
    }

    pub(crate) fn keeper(&self) -> Keeper {
        Keeper::open(&self.path("store.age"), &self.path("key.txt")).expect("the store opens")
    }

    /// Sets an entry; fields named "" are a single value.
    pub(crate) fn set(&self, path: &str, reader: &str, fields: &[(&str, &str)]) {
        let bytes = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        let content = match fields {
            [("", value)] => Content::Value(bytes(value)),
            fields => Content::Fields(
                fields.iter().map(|(n, v)| (n.to_string(), bytes(v))).collect::<BTreeMap<_, _>>(),
            ),
        };
        let readers = Readers { clear: true, add: vec![Reader::parse(reader).expect("a reader")] };
        self.keeper()
            .set(&EntryPath::parse(path).expect("a path"), &readers, Some(content))
            .expect("it is set");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("sockets/latchkey.sock")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--log-level", "trace"]);
        command.arg("--socket-dir").arg(self.path("sockets")).arg("--config").arg(self.path("latchkey.yaml"));
        // Whatever stands on this machine in the driver's own.
        command.arg("--other-socket-dirs").arg(self.path("others"));
        command.arg("--admin-addr").arg(self.admin.to_string());
        if !self.providers.is_empty() {
            command.args(["--providers", self.providers]);
        }
        command
    }

    /// Starts without waiting for it.
    pub(crate) fn spawn(&mut self) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.path("log.jsonl")).expect("a log");
        let child = self.command().stdout(Stdio::null()).stderr(log).spawn().expect("the agent starts");
        self.child = Some(child);
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn run(&mut self) {
        self.spawn();
        self.wait_until("the agent is ready", |agent| {
            agent.get("/readyz").is_some_and(|(code, _)| code == 200)
        });
    }

    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        let id = self.child.as_ref().expect("it runs").id();
        rustix::process::Pid::from_raw(id.try_into().expect("a pid")).expect("a pid")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it can be signalled");
    }

    /// Waits for the end; its exit code, `None` after a signal.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) =
                self.child.as_mut().expect("it runs").try_wait().expect("it can be waited for")
            {
                self.child = None;
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it does not end\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log.jsonl")).unwrap_or_default()
    }

    /// Its last lines, for the text of a test that fails.
    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("an audit line is JSON")).collect()
    }

    /// A GET on the admin address: status and body.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let code = reply.split(' ').nth(1)?.parse().ok()?;
        Some((code, reply.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// The value of one series, by the beginning of its line; 0 where it is not there.
    pub(crate) fn figure(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics").expect("figures");
        let line = text.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// The state of its socket as the metric has it; `None` while nobody answers.
    pub(crate) fn state(&self) -> Option<String> {
        let (_, text) = self.get("/metrics")?;
        let start = "latchkey_socket{name=\"latchkey\",state=\"";
        let line = text.lines().find(|line| line.starts_with(start) && line.ends_with(" 1"))?;
        line[start.len()..].split('"').next().map(str::to_owned)
    }

    /// Waits until its socket is in this state.
    pub(crate) fn wait_state(&self, state: &str) {
        self.wait_until(state, |agent| agent.state().as_deref() == Some(state));
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket(), Clock::system())
    }

    /// A mount of a class by pod `web/ACCOUNT`.
    pub(crate) async fn mount(&self, account: &str, secrets: &str) -> Result<Mounted, Refusal> {
        let mut client = self.client().limit(Limit::None);
        client.mount(ask(account, &[("secrets", secrets)]), Some(Duration::from_secs(120))).await
    }
}

/// An address that nobody has: of the loopback network, with an address of this call's own, so that neither another
/// agent nor anyone's outgoing connection gets its port before it is taken.
pub(crate) fn free_address() -> SocketAddr {
    static CALLS: AtomicU16 = AtomicU16::new(1);
    let call = CALLS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let net = u8::try_from(std::process::id() % 250).expect("fits") + 1;
    TcpListener::bind(SocketAddr::from(([127, net, call[0], call[1]], 0)))
        .expect("a port")
        .local_addr()
        .expect("its number")
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The pod `web/ACCOUNT-1`.
pub(crate) fn pod(account: &str) -> Pod {
    let number =
        account.bytes().fold(7u64, |number, byte| number.wrapping_mul(131).wrapping_add(byte.into()));
    Pod {
        namespace: "web".to_owned(),
        service_account: account.to_owned(),
        name: format!("{account}-1"),
        uid: format!("00000000-0000-4000-8000-{:012}", number % 1_000_000_000_000),
        volume: "secrets".to_owned(),
        ..Pod::default()
    }
}

/// A request as driver 1.6 sends it, of pod `web/ACCOUNT-1`, for a class with these parameters.
pub(crate) fn ask(account: &str, parameters: &[(&str, &str)]) -> MountRequest {
    let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    request("class", &parameters, &pod(account), &Flavour::Driver16)
}

/// The files of an answer by path.
pub(crate) fn files(mounted: &Mounted) -> BTreeMap<&str, (u32, &Bytes)> {
    mounted.files.iter().map(|(path, mode, contents)| (path.as_str(), (*mode, contents))).collect()
}
