//! The configuration file changes while the agent runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::agent::{Agent, ask, shipped};
use crate::support::contract::{KUBELET, refusal, refused, send};

const TOKEN: &str = "token: { store: local, path: web/token }\n";
const FAILED: &str = "latchkey_config_reload{outcome=\"failed\"}";
const TAKEN: &str = "latchkey_config_reload{outcome=\"taken\"}";

fn rule(account: &str) -> String {
    format!(
        "policy:\n  rules:\n    - {{ namespaces: [web], serviceAccounts: [{account}], stores: [local], objects: [\"*\"] }}\n"
    )
}

async fn mounts(agent: &Agent, account: &str) -> bool {
    send(agent, &ask(account, &[("secrets", TOKEN)]), KUBELET).await.is_ok()
}

/// Waits until a mount of this account is answered so; a change may take 10 seconds.
async fn becomes(agent: &Agent, account: &str, delivered: bool) {
    let start = Instant::now();
    while mounts(agent, account).await != delivered {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain\n{}", agent.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_rule_that_is_added_lets_a_refused_mount_succeed_without_a_restart() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("policy: { rules: [] }\n");
    agent.run();
    let policy = refusal(Code::PermissionDenied, "policy");
    refused(&agent, &ask("app", &[("secrets", TOKEN)]), policy).await;
    agent.configure(&rule("app"));
    becomes(&agent, "app", true).await;
    refused(&agent, &ask("other", &[("secrets", TOKEN)]), policy).await;
    // What is taken away is gone too, though the class was parsed before and its answer given.
    agent.configure(&rule("other"));
    becomes(&agent, "app", false).await;
    assert!(mounts(&agent, "other").await);
    assert!(agent.figure(TAKEN) > 0.5 && agent.figure(FAILED) < 0.5);
}

#[tokio::test]
async fn a_file_with_problems_changes_nothing_and_each_problem_is_told_with_its_line() {
    let mut agent = Agent::prepare(shipped());
    agent.configure(&rule("app"));
    agent.run();
    assert!(mounts(&agent, "app").await);
    // The rule for another account is good; the file is not.
    agent.configure(&format!("{}limits: {{ mountsInFlight: 0 }}\npolcy: {{}}\n", rule("other")));
    agent.wait_until("the file is refused", |agent| agent.figure(FAILED) > 0.5);
    assert!(agent.figure(TAKEN) < 0.5);
    assert!(mounts(&agent, "app").await && !mounts(&agent, "other").await);
    agent.wait_until("both problems are told", |agent| {
        let log = agent.log();
        ["limits.mountsInFlight, line 8, column", "polcy, line 9, column 1"]
            .iter()
            .all(|words| log.contains(words))
    });
    // And once, not at each look.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(agent.log().matches("the new configuration is not taken").count(), 2);
    fs::remove_file(agent.path("latchkey.yaml")).unwrap();
    agent.wait_until("its absence is told", |agent| agent.log().contains("cannot be read"));
    assert!(mounts(&agent, "app").await && agent.figure(FAILED) > 0.5);
    agent.configure(&rule("other"));
    becomes(&agent, "other", true).await;
    assert!(agent.figure(FAILED) < 0.5 && agent.figure(TAKEN) > 0.5);
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_links() {
    let mut agent = Agent::prepare(shipped());
    let version = |number: u32, account: &str| {
        agent.configure(&rule(account));
        let folder = agent.path(&format!("..{number}"));
        fs::create_dir(&folder).unwrap();
        fs::rename(agent.path("latchkey.yaml"), folder.join("latchkey.yaml")).unwrap();
    };
    version(1, "app");
    version(2, "other");
    symlink("..1", agent.path("..data")).unwrap();
    symlink("..data/latchkey.yaml", agent.path("latchkey.yaml")).unwrap();
    agent.run();
    assert!(mounts(&agent, "app").await);
    symlink("..2", agent.path("..next")).unwrap();
    fs::rename(agent.path("..next"), agent.path("..data")).unwrap();
    fs::remove_dir_all(agent.path("..1")).unwrap();
    becomes(&agent, "other", true).await;
    assert!(!mounts(&agent, "app").await && agent.figure(FAILED) < 0.5);
}

#[tokio::test]
async fn what_waits_for_a_restart_is_named_and_what_does_not_is_taken() {
    let mut agent = Agent::prepare(shipped());
    agent.configure(&rule("app"));
    agent.run();
    let more = "limits: { drain: 7s, answerBytes: 1024 }\nversions: { keyFile: /nowhere }\n";
    agent.configure(&format!("{}{more}", rule("other")));
    becomes(&agent, "other", true).await;
    agent.wait_until("it is named", |agent| agent.log().contains("restart to take them"));
    let text = agent.log();
    let line = text.lines().find(|line| line.contains("restart to take them")).unwrap();
    assert!(line.contains("\"limits.drain, versions.keyFile\""), "{line}");
    // An answer of more than 1,024 bytes is refused from now on.
    agent.set("web/big", "web/*", &[("", &"x".repeat(2000))]);
    let big = ask("other", &[("secrets", "big: { store: local, path: web/big }\n")]);
    refused(&agent, &big, refusal(Code::FailedPrecondition, "too_large")).await;
    agent.configure(&format!("{}{more}", rule("app")));
    becomes(&agent, "app", true).await;
    assert_eq!(agent.log().matches("restart to take them").count(), 1, "once");
}

#[tokio::test]
async fn the_log_level_follows_the_file_unless_a_flag_has_set_it() {
    let mut agent = Agent::prepare(shipped());
    agent.configure("logLevel: warn\n");
    let mut command = Command::new(shipped());
    command
        .arg("serve")
        .arg("--socket-dir")
        .arg(agent.path("sockets"))
        .arg("--config")
        .arg(agent.path("latchkey.yaml"));
    command.arg("--admin-addr").arg(agent.admin.to_string()).env_remove("LATCHKEY_LOG_LEVEL");
    let log = fs::File::create(agent.path("log.jsonl")).unwrap();
    agent.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    agent.wait_state("bound");
    assert!(mounts(&agent, "app").await);
    agent.configure("logLevel: debug\n");
    agent.wait_until("the level is taken", |agent| agent.log().contains("configuration is taken"));
    assert!(!agent.log().contains("\"mounted\""), "a line of `info` at `warn`\n{}", agent.log());
    assert!(mounts(&agent, "app").await);
    agent.wait_until("lines of `debug` are written", |agent| agent.log().contains("mounted, unchanged"));

    // With `--log-level trace`.
    let mut agent = Agent::prepare(shipped());
    agent.configure("logLevel: error\n");
    agent.run();
    assert!(mounts(&agent, "app").await);
    agent.wait_until("the flag wins", |agent| agent.log().contains("\"mounted\""));
    agent.configure("logLevel: error\nlimits: { mountsInFlight: 9 }\n");
    agent.wait_until("and still does", |agent| agent.log().contains("configuration is taken"));
}
