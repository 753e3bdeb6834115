//! Who owns the name of a socket: what is met at its path, from the first moment to the last, and how agents and
//! other providers pass it on.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use latchkey::clock::Clock;
use latchkey::driver::{Answer, ask as who};
use rustix::process::Signal;

use crate::support::agent::{Agent, ask, faulty, shipped};
use crate::support::channel::{channel, contents, counted, mount_like_the_driver};
use crate::support::process::after;
use crate::support::provider::{Provider, Reply};

const TOKEN: &str = "token: { store: local, path: web/token }\n";

async fn mounts(agent: &Agent) {
    let mounted = agent.mount("app", TOKEN).await.unwrap();
    assert_eq!(&mounted.files[0].2[..], b"s3cr3t-token");
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Longer than an agent waits before it looks at its path again.
const ANOTHER_LOOK: Duration = Duration::from_secs(6);

#[test]
fn whoever_sees_the_socket_is_served_and_nobody_else_may_open_it() {
    let mut agent = Agent::prepare(shipped());
    let (folder, path) = (agent.path("sockets"), agent.socket());
    let mut stale = None;
    for round in 0..50 {
        let child = after("umask 0", &agent).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        agent.child = Some(child);
        let start = Instant::now();
        loop {
            for entry in fs::read_dir(&folder).unwrap() {
                // The name under which it is made may be gone by now.
                if let Ok(meta) = entry.unwrap().metadata() {
                    assert!(meta.file_type().is_socket(), "round {round}");
                    assert_eq!(meta.permissions().mode() & 0o7777, 0o600, "round {round}");
                }
            }
            let seen = fs::symlink_metadata(&path).ok().map(|meta| meta.ino());
            let Some(seen) = seen else {
                assert_eq!(stale, None, "round {round}: the name was not always there");
                assert!(start.elapsed() < Duration::from_secs(20), "it never listens");
                continue;
            };
            match UnixStream::connect(&path) {
                Ok(_) => break,
                Err(error) => assert_eq!(Some(seen), stale, "round {round}: {error}"),
            }
            assert!(start.elapsed() < Duration::from_secs(20), "a stale socket is not replaced");
        }
        stale = Some(inode(&path));
        agent.signal(Signal::KILL);
        assert_eq!(agent.ended(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_41_a_newer_agent_takes_the_name_and_whom_the_older_one_had_goes_there_without_a_failed_mount() {
    let old = Agent::start(shipped());
    let (driver, request) = (channel(&old.socket()), ask("app", &[("secrets", TOKEN)]));
    let mounted = async || {
        mount_like_the_driver(&driver, &request).await.0.unwrap();
    };
    mounted().await;

    let mut new = old.beside();
    new.run();
    let taken = inode(&new.socket());
    mounts(&new).await;
    assert_eq!(new.figure("latchkey_mounts_total{"), 1.0);
    old.wait_state("replaced");
    assert_eq!(old.get("/readyz").unwrap().0, 503);
    assert_eq!(old.get("/livez").unwrap().0, 200);
    let start = Instant::now();
    while new.figure("latchkey_mounts_total{") < 3.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "whom it had stays with the older one");
        mounted().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let olds = old.figure("latchkey_mounts_total{");

    tokio::time::sleep(ANOTHER_LOOK).await;
    assert_eq!(inode(&new.socket()), taken, "the older one has stolen the name back");
    assert_eq!((old.state().as_deref(), new.state().as_deref()), (Some("replaced"), Some("bound")));
    mounted().await;
    assert_eq!(old.figure("latchkey_mounts_total{"), olds, "nobody comes back to the older one");

    new.signal(Signal::KILL);
    new.ended();
    old.wait_state("bound");
    assert_eq!(old.get("/readyz").unwrap().0, 200);
    mounts(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_provider_keeps_its_name_until_it_is_gone() {
    let mut agent = Agent::prepare(shipped());
    let path = agent.socket();
    let foreign =
        Provider::start("other-provider", Reply::Files(vec![("theirs", 0o644, b"theirs".to_vec())]));
    fs::rename(foreign.path(), &path).unwrap();
    let theirs = inode(&path);
    agent.spawn();
    agent.wait_state("standby");
    assert_eq!((agent.get("/readyz").unwrap().0, agent.get("/livez").unwrap().0), (503, 200));
    assert!(agent.log().contains("is answered by `other-provider`"), "{}", agent.log());
    tokio::time::sleep(ANOTHER_LOOK).await;
    assert_eq!(inode(&path), theirs);
    let mounted = agent.mount("app", TOKEN).await.unwrap();
    assert_eq!(mounted.files[0].0, "theirs");
    assert_eq!(agent.log().matches("standing by").count(), 1, "told once, not at every look");
    drop(foreign);
    agent.wait_state("bound");
    mounts(&agent).await;

    // One that comes later is not fought either, whether it answers or not.
    let silent = Provider::start("other-provider", Reply::Hang);
    fs::rename(silent.path(), &path).unwrap();
    agent.wait_state("standby");
    assert_eq!(agent.get("/readyz").unwrap().0, 503);
    assert!(agent.log().contains("is held by something that does not answer"), "{}", agent.log());
    drop(silent);
    agent.wait_state("bound");
    mounts(&agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_we_had_goes_to_the_provider_that_takes_the_name_and_mounts_at_work_are_answered() {
    let agent = Agent::start(faulty());
    let driver = channel(&agent.socket());
    let mounted = async |secrets: &str| {
        let request = ask("app", &[("secrets", secrets)]);
        let answer = mount_like_the_driver(&driver, &request).await.0.unwrap();
        contents(&answer).into_keys().map(str::to_owned).collect::<Vec<_>>()
    };
    // Still at work after a look or two.
    let (slow, token) = ("slow: { store: local, path: fault/slow-12000 }\n", ["token"]);
    let taken = async {
        assert_eq!(mounted(TOKEN).await, token);
        let foreign = Provider::start("other-provider", Reply::Hang);
        fs::rename(foreign.path(), agent.socket()).unwrap();
        // Whoever holds the path without a word is nobody to go to.
        agent.wait_state("standby");
        assert_eq!(mounted(TOKEN).await, token);
        foreign.reply(Reply::Files(vec![("theirs", 0o644, b"theirs".to_vec())]));
        let start = Instant::now();
        while mounted(TOKEN).await != ["theirs"] {
            assert!(start.elapsed() < Duration::from_secs(20), "the driver stays with who has lost the name");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        foreign
    };
    let (files, foreign) = tokio::join!(mounted(slow), taken);
    assert_eq!(files, ["slow"], "a mount at work was lost with the name");
    // And back, once the other one is gone: whoever comes then may stay.
    drop(foreign);
    agent.wait_state("bound");
    let (driver, connections) = counted(&agent.socket());
    for _ in 0..3 {
        let request = ask("app", &[("secrets", TOKEN)]);
        mount_like_the_driver(&driver, &request).await.0.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "sent away from a name that is ours again");
}

#[test]
fn something_that_closes_every_connection_keeps_its_name() {
    let mut agent = Agent::prepare(shipped());
    let path = agent.socket();
    let listener = UnixListener::bind(&path).unwrap();
    let closing = std::thread::spawn(move || {
        // Until it is told to quit; for ever, where the test fails before.
        while let Ok((mut stream, _)) = listener.accept() {
            let mut word = [0; 4];
            if stream.read_exact(&mut word).is_ok() && &word == b"quit" {
                return;
            }
        }
    });
    agent.spawn();
    agent.wait_state("standby");
    assert!(agent.log().contains("is answered by something that is no provider"), "{}", agent.log());
    UnixStream::connect(&path).unwrap().write_all(b"quit").unwrap();
    closing.join().unwrap();
    agent.wait_state("bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn f_39_what_is_no_socket_is_left_alone_and_the_name_taken_once_it_is_free() {
    let live = Provider::start("latchkey", Reply::Files(vec![("live", 0o644, b"live".to_vec())]));
    let mut agents = Vec::new();
    for kind in ["file", "folder", "link to a file", "link to a live socket", "dangling link", "pipe"] {
        let mut agent = Agent::prepare(shipped());
        let (path, target) = (agent.socket(), agent.path("target"));
        fs::write(&target, "untouched").unwrap();
        let link = |to: &Path| std::os::unix::fs::symlink(to, &path).unwrap();
        match kind {
            "file" => fs::write(&path, "untouched").unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            "link to a file" => link(&target),
            "link to a live socket" => link(live.path()),
            "dangling link" => link(&agent.path("nowhere")),
            _ => rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap(),
        }
        agent.spawn();
        agents.push((kind, inode(&path), agent));
    }
    for (kind, _, agent) in &agents {
        agent.wait_until(kind, |agent| agent.state().as_deref() == Some("blocked"));
        assert_eq!((agent.get("/readyz").unwrap().0, agent.get("/livez").unwrap().0), (503, 200), "{kind}");
        assert!(agent.log().contains("is not a socket, and is left alone"), "{kind}: {}", agent.log());
    }
    tokio::time::sleep(ANOTHER_LOOK).await;
    for (kind, before, agent) in &agents {
        assert_eq!(inode(&agent.socket()), *before, "{kind}");
        assert_eq!(fs::read_to_string(agent.path("target")).unwrap(), "untouched");
        assert_eq!(names(&agent.path("sockets")), ["latchkey.sock"], "{kind}");
        match *kind {
            "folder" => fs::remove_dir(agent.socket()).unwrap(),
            _ => fs::remove_file(agent.socket()).unwrap(),
        }
    }
    for (kind, _, agent) in &agents {
        agent.wait_until(kind, |agent| agent.state().as_deref() == Some("bound"));
        mounts(agent).await;
    }
    let answer = who(live.path(), Duration::from_secs(10), Clock::system()).await;
    assert!(matches!(answer, Answer::Latchkey(_)), "the linked one was harmed: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_somebody_removed_is_made_again() {
    let agent = Agent::start(shipped());
    let mut kept = agent.client();
    let ask = || crate::support::agent::ask("app", &[("secrets", TOKEN)]);
    kept.mount(ask(), None).await.unwrap();
    fs::remove_file(agent.socket()).unwrap();
    kept.mount(ask(), None).await.unwrap();
    agent.wait_until("the socket is back", |agent| agent.socket().exists());
    mounts(&agent).await;
    assert_eq!(agent.state().as_deref(), Some("bound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_the_driver_finds_first_is_named_with_what_to_do() {
    let mut agent = Agent::prepare(shipped());
    let (folder, first) = (agent.path("others"), agent.path("others/latchkey.sock"));
    fs::create_dir(&folder).unwrap();
    // Nobody listens there any more: the driver takes it all the same.
    drop(UnixListener::bind(&first).unwrap());
    fs::write(folder.join("other.sock"), "").unwrap();
    agent.spawn();
    agent.wait_state("shadowed");
    assert_eq!((agent.get("/readyz").unwrap().0, agent.get("/livez").unwrap().0), (503, 200));
    let told = |agent: &Agent| {
        let log = agent.log();
        let lines = log.lines().filter(|line| line.contains("finds another socket of this name first"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // The figure comes before the line, and the line by a pipe of its own.
    agent.wait_until("it is told", |agent| !told(agent).is_empty());
    let lines = told(&agent);
    for word in [first.to_str().unwrap(), "WARN", "uninstall its provider", "restart the driver's pod"] {
        assert!(lines[0].contains(word), "{word}: {}", lines[0]);
    }
    // Whoever asks here is served.
    mounts(&agent).await;
    fs::remove_file(&first).unwrap();
    agent.wait_state("bound");
    assert_eq!(agent.get("/readyz").unwrap().0, 200);

    // One that comes later; a link counts where it leads to something, and our own socket is none of another's.
    std::os::unix::fs::symlink(agent.path("nowhere"), &first).unwrap();
    tokio::time::sleep(ANOTHER_LOOK).await;
    assert_eq!(agent.state().as_deref(), Some("bound"), "a link to nothing is nothing to the driver");
    fs::remove_file(&first).unwrap();
    std::os::unix::fs::symlink(agent.socket(), &first).unwrap();
    tokio::time::sleep(ANOTHER_LOOK).await;
    assert_eq!(agent.state().as_deref(), Some("bound"), "the same socket by another way");
    fs::remove_file(&first).unwrap();
    fs::write(&first, "").unwrap();
    agent.wait_until("it is told again", |agent| told(agent).len() == 2);
    tokio::time::sleep(ANOTHER_LOOK).await;
    assert_eq!(told(&agent).len(), 2, "told once, not at every look");
    assert_eq!(agent.state().as_deref(), Some("shadowed"));
}

#[test]
fn every_dialect_that_is_built_in_has_its_socket() {
    let mut agent = Agent::prepare(shipped());
    agent.providers = "";
    agent.spawn();
    agent.wait_until("all are bound", |agent| {
        names(&agent.path("sockets")) == ["latchkey.sock", "openbao.sock", "vault.sock"]
    });
}

#[test]
fn nothing_is_removed_and_nothing_left_behind_at_exit() {
    let mut agent = Agent::start(shipped());
    let before = inode(&agent.socket());
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    assert_eq!(names(&agent.path("sockets")), ["latchkey.sock"]);
    assert_eq!(inode(&agent.socket()), before);
}

#[test]
fn a_folder_that_cannot_hold_sockets_is_told_before_anything_starts() {
    let long = "a-folder-with-a-long-name".repeat(4);
    for (make, name, text) in [
        (false, "missing", "is not a folder; mount the driver's provider folder there"),
        (true, long.as_str(), "is too long for the path of a socket; name a folder of"),
    ] {
        let agent = Agent::prepare(shipped());
        let folder = agent.path(name);
        if make {
            fs::create_dir(&folder).unwrap();
        }
        let out = std::process::Command::new(shipped())
            .args(["serve", "--admin-addr", &agent.admin.to_string(), "--socket-dir"])
            .arg(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(
            said.contains(text) && said.contains("--socket-dir") && said.contains(folder.to_str().unwrap()),
            "{said}"
        );
    }
}

/// Tells this test that it is to play the stranger.
const STRANGER: &str = "LATCHKEY_TEST_STRANGER";
/// A user that is neither root nor, where tests run as root, us.
const NOBODY: u32 = 65_534;

#[test]
fn g_23_a_peer_that_is_neither_root_nor_us_is_turned_away() {
    if let Some(path) = std::env::var_os(STRANGER) {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(9))).unwrap();
        let mut byte = [0];
        let end = stream.read(&mut byte);
        assert!(matches!(end, Ok(0)), "the connection is not closed at once: {end:?}");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("left out: only root can play another user");
        return;
    }
    let agent = Agent::start(shipped());
    // Past the mode, as a mistake of the administrator's would let them.
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(agent.folder.path(), 0o755);
    open(&agent.path("sockets"), 0o755);
    open(&agent.socket(), 0o666);
    let program = agent.path("stranger");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    open(&program, 0o755);
    let mut stranger = std::process::Command::new(&program);
    stranger
        .args(["--exact", "agent::sockets::g_23_a_peer_that_is_neither_root_nor_us_is_turned_away"])
        .env(STRANGER, agent.socket())
        .current_dir("/");
    std::os::unix::process::CommandExt::uid(&mut stranger, NOBODY);
    let out = stranger.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(agent.figure("latchkey_connections_refused_total{why=\"peer\"}"), 1.0);
    assert!(agent.log().contains("\"uid\":65534"), "{}", agent.log());
}
