//! Our DaemonSet in the cluster: the manifest that is shipped, with a configuration of the tests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use serde_json::{Value, json};

use crate::kubectl::{apply, attempt, eventually, get, holds, kubectl};
use crate::openbao::NODE;

/// Scenarios share the agent; one that stops it has it alone.
static AGENT: RwLock<()> = RwLock::new(());

/// Where the driver finds providers.
pub(crate) const SOCKETS: &str = "/run/secrets-store-csi-providers";

/// The agent, which others use too.
pub(crate) fn shared() -> RwLockReadGuard<'static, ()> {
    prepare();
    AGENT.read().unwrap_or_else(PoisonError::into_inner)
}

/// The agent for a scenario that stops it.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    prepare();
    AGENT.write().unwrap_or_else(PoisonError::into_inner)
}

/// The version of the driver.
pub(crate) fn driver() -> String {
    variable("CLUSTER_DRIVER")
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("no {name}: run `tests/run --ring cluster`, which makes a cluster"))
}

fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        kubectl(&["version"]);
        let image = variable("CLUSTER_IMAGE");
        attempt("ctr", &["images", "import", &image], "").unwrap_or_else(|error| panic!("{error}"));
        store();
        configuration();
        deploy();
    });
}

/// The embedded store as an administrator makes it, in the Secret that the manifest names.
fn store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (file, identity) = (path("store.age"), path("key.txt"));
    let local = |arguments: &[&str], input: &str| {
        let places = ["--file", &file, "--identity", &identity];
        let arguments = [&["local", arguments[0]], &places[..], &arguments[1..]].concat();
        attempt(env!("CARGO_BIN_EXE_latchkey"), &arguments, input).unwrap_or_else(|error| panic!("{error}"));
    };
    local(&["init"], "");
    local(&["set", "shared/value", "--reader", "*/app", "--field", "value=-"], "from the local store");
    let files = ["store.age", "key.txt"].map(|name| format!("--from-file={}", path(name)));
    kubectl(&["-n", "kube-system", "create", "secret", "generic", "latchkey-store", &files[0], &files[1]]);
}

/// The ConfigMap of the manifest, with the tests' stores in it. Their backends are in `backend`.
fn configuration() {
    let folder = "/etc/latchkey";
    let bao = format!("address: \"https://{NODE}:8200\", ca: {folder}/config/ca.pem, fresh: 1s");
    let mut stores = format!(
        "stores:\n  local: {{ file: {folder}/store/store.age, identity: {folder}/store/key.txt }}\n  \
         vault: {{ {bao} }}\n  openbao: {{ {bao}, authMount: jwt }}\n"
    );
    for (name, port) in crate::backend::STORES {
        stores += &format!(
            "  {name}: {{ kind: vault, address: \"http://{NODE}:{port}\", role: app, fresh: 1s }}\n"
        );
    }
    stores += "limits: { attempt: 3s }\n";
    let authority = fs::read_to_string(variable("BAO_CACERT")).expect("the authority's certificate");
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "latchkey", "namespace": "kube-system" },
        "data": { "latchkey.yaml": stores, "ca.pem": authority },
    });
    apply(&map.to_string());
}

/// Applies the manifest without its ConfigMap, waits until the DaemonSet is ready, and says how long that took.
pub(crate) fn deploy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("daemonset/latchkey.yaml");
    let manifest = fs::read_to_string(path).expect("the manifest");
    let documents: Vec<&str> =
        manifest.split("\n---\n").filter(|part| !part.contains("kind: ConfigMap")).collect();
    let start = Instant::now();
    apply(&documents.join("\n---\n"));
    eventually("a DaemonSet that is ready", || {
        let status = &get(&["-n", "kube-system", "daemonset", "latchkey"])["status"];
        let ready = status["numberReady"] == 1 && status["updatedNumberScheduled"] == 1;
        holds(ready, || format!("{status}\n{}", log()))
    });
    let took = start.elapsed().as_secs_f64();
    // Past the harness, which shows what tests print of failures alone.
    let _ = writeln!(std::io::stderr(), "the DaemonSet was ready {took:.1} s after it was applied");
}

/// What the agents' containers have written, the older ones' first.
pub(crate) fn log() -> String {
    let mut files: Vec<PathBuf> = Vec::new();
    for pod in fs::read_dir("/var/log/pods").into_iter().flatten().flatten() {
        if pod.file_name().to_string_lossy().starts_with("kube-system_latchkey-") {
            files.extend(
                fs::read_dir(pod.path().join("latchkey")).into_iter().flatten().flatten().map(|e| e.path()),
            );
        }
    }
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
    // Time, stream and tag are the container runtime's.
    let line = |line: &str| line.splitn(4, ' ').nth(3).map(|rest| format!("{rest}\n"));
    text.lines().filter_map(line).collect()
}

/// The audit lines of the agents that there were since the last that was deleted.
pub(crate) fn audit() -> Vec<Value> {
    let lines = log();
    let parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line["type"] == "latchkey.audit/v1").collect()
}

/// A figure by its name with its labels, as `/metrics` has it.
pub(crate) fn figure(name: &str) -> Option<f64> {
    let metrics = metrics().ok()?;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn metrics() -> std::io::Result<String> {
    let pods = get(&["-n", "kube-system", "pods", "-l", "app.kubernetes.io/name=latchkey"]);
    let running =
        |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null() && !pod["status"]["podIP"].is_null();
    let pod = pods["items"].as_array().into_iter().flatten().find(running);
    let address = pod.and_then(|pod| pod["status"]["podIP"].as_str()).unwrap_or_default().to_owned();
    figures(&address, 8090)
}

/// What a program of the node or of a pod answers at `/metrics`.
pub(crate) fn figures(address: &str, port: u16) -> std::io::Result<String> {
    let mut connection = TcpStream::connect((address, port))?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: figures\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(text)
}

/// The agent's process.
fn process() -> Option<String> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let named =
        |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "latchkey");
    let found = processes.map(|entry| entry.path()).find(|path| named(path))?;
    Some(found.file_name()?.to_string_lossy().into_owned())
}

/// Ends it as the kernel does when memory is out.
pub(crate) fn kill() {
    let process = process().expect("an agent");
    assert!(Command::new("kill").args(["-9", &process]).status().expect("kill runs").success());
}

/// Deletes the DaemonSet and its sockets: a node that never had an agent.
pub(crate) fn remove() {
    kubectl(&["-n", "kube-system", "delete", "daemonset", "latchkey", "--wait=true"]);
    eventually("the end of the agent", || holds(process().is_none(), || "it runs".to_owned()));
    for socket in fs::read_dir(SOCKETS).expect("the folder").flatten() {
        fs::remove_file(socket.path()).expect("it is removed");
    }
}
