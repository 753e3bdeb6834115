//! A `bao server` as a process of its own, with a folder of its own. Both go when it is dropped, and also when the
//! tests end in any other way: a shell beside it waits for the end of the pipe that the tests hold.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use latchkey::model::{Address, Endpoint, Origin, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal};
use serde_json::json;

use super::admin::Admin;
use crate::support::agent::free_address;

/// Where it keeps its data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// Gone with the process.
    Memory,
    /// There again after a restart.
    Disk,
}

/// Whom it takes connections from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    /// Anyone.
    Any,
    /// Those who show a certificate of its authority.
    Certified,
}

pub(super) struct Server {
    address: SocketAddr,
    folder: PathBuf,
    guard: Option<Child>,
    unseal: String,
    root: String,
}

impl Server {
    /// A server that is initialised and unsealed.
    pub(super) async fn start(storage: Storage, clients: Clients) -> Self {
        let folder = tempfile::Builder::new().prefix("openbao").tempdir().expect("a folder").keep();
        let address = free_address();
        certify(address.ip(), &folder);
        std::fs::create_dir(folder.join("data")).expect("a folder");
        std::fs::write(folder.join("bao.hcl"), configuration(&folder, address, storage, clients))
            .expect("a file");
        let mut server = Self { address, folder, guard: None, unseal: String::new(), root: String::new() };
        server.run().await;
        let admin = server.admin();
        let keys = admin.write("sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await;
        server.unseal = keys["keys"][0].as_str().expect("a key").to_owned();
        server.root = keys["root_token"].as_str().expect("a token").to_owned();
        server.unseal().await;
        server
    }

    /// Starts the process and waits until it answers.
    pub(super) async fn run(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("a log");
        let mut command = Command::new("sh");
        command.arg("-c").arg(GUARD).arg("guard").arg(program()).arg(self.folder.join("bao.hcl"));
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a log")).stderr(log);
        // Its own group: a Ctrl-C at the terminal ends the tests, and the guard ends the server.
        self.guard = Some(command.process_group(0).spawn().expect("the server starts"));
        let (start, admin) = (Instant::now(), self.admin());
        while admin.call("GET", "sys/seal-status", None).await.is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "OpenBao does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the process; the folder stays.
    pub(super) fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.stdin.take().map(|mut pipe| pipe.write_all(b"keep\n"));
            let _ = guard.wait();
        }
    }

    pub(super) async fn seal(&self) {
        self.admin().write("sys/seal", json!({})).await;
    }

    /// Unseals it and waits until it serves.
    pub(super) async fn unseal(&self) {
        let admin = self.admin();
        admin.write("sys/unseal", json!({ "key": self.unseal })).await;
        let start = Instant::now();
        while admin.call("GET", "sys/health", None).await.is_none_or(|(status, _)| status != 200) {
            assert!(start.elapsed() < Duration::from_secs(60), "OpenBao does not serve:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the process where it stands, as a machine does that is out of memory: whoever speaks to it waits.
    pub(super) fn hang(&self) {
        let process = self.process();
        rustix::process::kill_process(process, Signal::STOP).expect("it can be stopped");
        // The signal is there before every thread has heard of it, and one of them may still answer.
        let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
        let stands = || {
            std::fs::read_dir(&tasks).expect("it lives").flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
            })
        };
        let start = Instant::now();
        while !stands() {
            assert!(start.elapsed() < Duration::from_secs(60), "it stands still");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it go on.
    pub(super) fn wake(&self) {
        rustix::process::kill_process(self.process(), Signal::CONT).expect("it goes on");
    }

    /// The server itself, which is the one child of its guard.
    fn process(&self) -> Pid {
        let guard = self.guard.as_ref().expect("it runs").id();
        let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children"));
        let pid = children.expect("it has children").trim().parse().expect("one child");
        Pid::from_raw(pid).expect("a pid")
    }

    pub(super) fn admin(&self) -> Admin {
        Admin::new(self.client(), &self.url(), &self.root)
    }

    /// A client that trusts it, and shows a certificate that it takes.
    pub(super) fn client(&self) -> reqwest::ClientBuilder {
        let read = |name: &str| std::fs::read(self.folder.join(name)).expect("a file");
        let ca = reqwest::Certificate::from_pem(&read("ca.pem")).expect("a certificate");
        let own = [read("client.pem"), read("client.key")].concat();
        let own = reqwest::Identity::from_pem(&own).expect("a certificate with its key");
        reqwest::Client::builder().tls_certs_only([ca]).identity(own).no_proxy()
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// As an administrator would write it.
    pub(super) fn endpoint(&self) -> Endpoint {
        let address = Address::parse(&self.url()).expect("an address");
        Endpoint {
            address,
            origin: Origin::Administrator,
            tls: Tls { ca: Some(self.ca().into()), ..Tls::default() },
        }
    }

    /// The file with the certificate of its authority.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The files of a certificate that it takes from its clients, and of its key.
    pub(super) fn identity(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("client.pem"), self.folder.join("client.key"))
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn program() -> PathBuf {
    std::env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{VARIABLE} names no OpenBao server: run `tests/run --ring openbao`, which gets one")
    })
}

/// Writes the certificate of an authority, and what it signed: a certificate for this address, and one for its clients.
fn certify(ip: IpAddr, folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    for (name, whom) in [("tls", ip.to_string()), ("client", "latchkey".to_owned())] {
        let own = key();
        let params = CertificateParams::new(vec![whom]).expect("a name");
        let certificate = params.signed_by(&own, &authority).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("a file");
        std::fs::write(folder.join(format!("{name}.key")), own.serialize_pem()).expect("a file");
    }
}

fn configuration(folder: &Path, address: SocketAddr, storage: Storage, clients: Clients) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let storage = match storage {
        Storage::Memory => "storage \"inmem\" {}".to_owned(),
        // The multiplier shortens the wait for other members, of which there are none.
        Storage::Disk => format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n  performance_multiplier = 1\n}}\n\
             cluster_addr = \"https://{}:1\"",
            at("data"),
            address.ip(),
        ),
    };
    let clients = match clients {
        Clients::Any => String::new(),
        Clients::Certified => format!(
            "  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{}\"\n",
            at("ca.pem")
        ),
    };
    format!(
        "{storage}\nui = false\napi_addr = \"https://{address}\"\nlistener \"tcp\" {{\n  address = \"{address}\"\n  \
         cluster_address = \"{}:0\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n{clients}}}\n",
        address.ip(),
        at("tls.pem"),
        at("tls.key"),
    )
}

/// The variable that names the program.
const VARIABLE: &str = "LATCHKEY_TEST_OPENBAO";

/// Runs the server until it is told to end it, or until the tests are gone; only where it was told does the folder stay.
const GUARD: &str = r#""$1" server -config "$2" </dev/null & server=$!
read -r word
kill -9 $server
wait $server 2>/dev/null
[ "$word" = keep ] || rm -rf "$(dirname "$2")""#;
