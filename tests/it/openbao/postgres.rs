//! A PostgreSQL server as a process of its own, with a cluster in a folder of its own, for the database engine to make
//! users in. It runs as an unprivileged user, since it refuses root. Server and folder go when it is dropped, and also
//! when the tests end in any other way.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::agent::free_address;

pub(super) struct Postgres {
    pub(super) address: SocketAddr,
    folder: PathBuf,
    guard: Option<Child>,
}

impl Postgres {
    /// A server that answers. Over TCP it asks for passwords; its owner comes in at the socket of its folder.
    pub(super) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("postgres").tempdir().expect("a folder").keep();
        if let Some(id) = nobody() {
            chown(&folder, Some(id), Some(id)).expect("the folder of the one that it runs as");
        }
        let mut initdb = as_nobody("initdb");
        initdb.arg("-D").arg(folder.join("data")).args(["-U", OWNER, "-A", "trust", "--no-sync"]);
        initdb.args(["--no-instructions", "--encoding=UTF8", "--locale=C"]).stdin(Stdio::null());
        succeeded("initdb", &initdb.output().expect("initdb starts"));
        std::fs::write(folder.join("data/pg_hba.conf"), WHO).expect("a file");
        let address = free_address();
        let guard = guard(&folder, address);
        let server = Self { address, folder, guard: Some(guard) };
        let start = Instant::now();
        while !server.psql(&server.socket(), OWNER, "", "SELECT 1").status.success() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not answer:\n{}",
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.owner(&format!("CREATE ROLE {MAKER} WITH LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
        server
    }

    /// What the database engine is told to connect to, as the one that may make users.
    pub(super) fn url(&self) -> String {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@{}/postgres?sslmode=disable", self.address)
    }

    /// What a statement of the owner's prints.
    pub(super) fn owner(&self, statement: &str) -> String {
        succeeded(statement, &self.psql(&self.socket(), OWNER, "", statement))
    }

    /// Whom the server takes somebody for that shows this name and password; `None` where it refuses.
    pub(super) fn log_in(&self, user: &str, password: &str) -> Option<String> {
        let output = self.psql(&self.address.ip().to_string(), user, password, "SELECT current_user");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// How many users the database engine has made there, and not taken away again, for logins with this name.
    pub(super) fn made(&self, part: &str) -> usize {
        let count = self.owner(&format!("SELECT count(*) FROM pg_roles WHERE rolname LIKE '%{part}%'"));
        count.parse().expect("a number")
    }

    fn psql(&self, host: &str, user: &str, password: &str, statement: &str) -> Output {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-w", "-t", "-A", "-h", host, "-p", &self.address.port().to_string(), "-U", user]);
        psql.args(["-d", "postgres", "-c", statement]).env("PGPASSWORD", password).stdin(Stdio::null());
        psql.output().expect("psql starts")
    }

    fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
        // Where the guard could not start.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts the server beside a shell that ends it when nobody holds the pipe any more.
fn guard(folder: &Path, address: SocketAddr) -> Child {
    let mut command = as_nobody_runs("sh");
    command.arg("-c").arg(GUARD).arg("guard").arg(programs().join("postgres")).arg(folder);
    command.args([address.ip().to_string(), address.port().to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).spawn().expect("the server starts")
}

fn succeeded(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn as_nobody(program: &str) -> Command {
    as_nobody_runs(programs().join(program).to_str().expect("a path of text"))
}

/// A command that runs as the user `nobody` where these tests run as root.
fn as_nobody_runs(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Some(id) = nobody() {
        command.uid(id).gid(id);
    }
    // What the tests were started in may be closed to it.
    command.current_dir("/");
    command
}

/// The id of user and group `nobody` (`nogroup`), where one is needed.
fn nobody() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(65534)
}

fn programs() -> PathBuf {
    std::env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{VARIABLE} names no PostgreSQL: run `tests/run --ring openbao`, which gets one")
    })
}

/// The variable that names the folder of its programs.
const VARIABLE: &str = "LATCHKEY_TEST_POSTGRES";
const OWNER: &str = "owner";
/// Who makes users for the database engine.
pub(super) const MAKER: &str = "openbao";
pub(super) const PASSWORD: &str = "the-makers-own";

/// Who may come in: the owner at the socket, everybody else with a password.
const WHO: &str = "local all all trust\nhost all all 127.0.0.0/8 scram-sha-256\n";

/// Runs the server until the tests are gone. QUIT ends it at once, with all its processes and what they share.
const GUARD: &str = r#"umask 077
"$1" -D "$2/data" -k "$2" -h "$3" -p "$4" -c fsync=off -c shared_buffers=16MB </dev/null >"$2/log" 2>&1 & server=$!
read -r _
kill -QUIT $server
wait $server
rm -rf "$2""#;
