//! The command line as a person meets it: what is printed, where it goes, and the exit code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::agent::{Agent, shipped};
use crate::support::issuer::{AUDIENCE, Issuer, claims};

/// What a run left: exit code, stdout, stderr.
type Run = (Option<i32>, String, String);

fn latchkey(args: &[&str], environment: &[(&str, &Path)]) -> Run {
    let mut command = Command::new(shipped());
    command.args(args).env_clear().stdin(Stdio::null());
    for (name, value) in environment {
        command.env(name, value);
    }
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A store, its configuration, and a manifest of two classes for namespace `web`.
fn bench() -> Agent {
    let agent = Agent::prepare(shipped());
    let class = |name: &str, secrets: &str| {
        format!(
            "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n\
             metadata: {{ name: {name}, namespace: web }}\nspec:\n  provider: latchkey\n  parameters:\n    secrets: |\n      {secrets}\n"
        )
    };
    let db = class("db", "db: { store: local, path: web/db }");
    fs::write(agent.path("one.yaml"), &db).unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\n";
    let both = format!("{db}---\n{pod}---\n{}", class("token", "token: { store: local, path: web/token }"));
    fs::write(agent.path("both.yaml"), both).unwrap();
    agent
}

/// `latchkey mount -f FILE --config …` with these arguments more.
fn mount(agent: &Agent, file: &str, more: &[&str]) -> Run {
    let (file, config) = (agent.path(file), agent.path("latchkey.yaml"));
    let mut args = vec!["mount", "-f", file.to_str().unwrap(), "--config", config.to_str().unwrap()];
    args.extend(more);
    latchkey(&args, &[])
}

fn audit(stderr: &str) -> Vec<Value> {
    stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_mount_prints_names_and_never_values() {
    let agent = bench();
    let (code, out, err) = mount(&agent, "one.yaml", &["-s", "app"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("db for web/app (as the administrator)\n"), "{out}");
    let row = |path: &str| out.lines().find(|line| line.trim_start().starts_with(path)).unwrap().to_owned();
    assert!(row("db/password").contains("0644") && row("db/password").contains("15 B"), "{out}");
    assert!(row("db/username").contains("local web/db (db)"), "{out}");
    assert!(out.ends_with("nothing written: a dry run without --out\n"), "{out}");
    assert!(!out.contains("s3cr3t") && !err.contains("s3cr3t"), "{out}{err}");
    let [line] = &audit(&err)[..] else { panic!("one audit line: {err}") };
    assert_eq!(
        (&line["caller"], &line["object"], &line["outcome"]),
        (&"cli".into(), &"web/db".into(), &"changed".into())
    );
}

#[test]
fn a_mount_prints_json_for_programs() {
    let agent = bench();
    let (code, out, _) = mount(&agent, "one.yaml", &["-s", "app", "-n", "web", "--output", "json"]);
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!(
        (&report["class"], &report["namespace"], &report["serviceAccount"]),
        (&json!("db"), &json!("web"), &json!("app"))
    );
    assert_eq!(report["outcome"], Value::Null);
    let file = &report["files"][0];
    assert_eq!(
        (&file["path"], &file["mode"], &file["bytes"]),
        (&json!("db/password"), &json!("0644"), &json!(15))
    );
    assert!(!file["version"].as_str().unwrap().is_empty());
}

#[test]
fn a_mount_writes_as_the_driver_does_and_only_what_changed() {
    let agent = bench();
    let out = agent.path("volume");
    let args = ["-s", "app", "--out", out.to_str().unwrap(), "--output", "json"];
    for word in ["written", "unchanged"] {
        let (code, printed, err) = mount(&agent, "one.yaml", &args);
        assert_eq!(code, Some(0), "{err}");
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(report["outcome"], word);
        assert_eq!(fs::read(out.join("db/password")).unwrap(), b"s3cr3t-password");
        assert!(fs::read_link(out.join("..data")).is_ok(), "the driver's layout");
    }
}

#[test]
fn one_of_several_classes_is_chosen_by_name() {
    let agent = bench();
    let (code, _, err) = mount(&agent, "both.yaml", &["-s", "app"]);
    assert!(code == Some(2) && err.contains("--name") && err.contains("choose one: db, token"), "{err}");
    let (code, out, _) = mount(&agent, "both.yaml", &["-s", "app", "--name", "token"]);
    assert!(code == Some(0) && out.starts_with("token for web/app"), "{out}");
    let (code, _, err) = mount(&agent, "both.yaml", &["-s", "app", "--name", "tokne"]);
    assert!(code == Some(2) && err.contains("did you mean `token`?"), "{err}");
}

#[test]
fn a_refused_mount_ends_with_one_and_names_everything() {
    let agent = bench();
    let (code, out, err) = mount(&agent, "one.yaml", &["-s", "app", "-n", "shop"]);
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    assert!(
        err.contains("latchkey: forbidden: secret `db` (local web/db)") && err.contains("`shop/app`"),
        "{err}"
    );
    let [line] = &audit(&err)[..] else { panic!("one audit line: {err}") };
    assert_eq!((&line["caller"], &line["reason"]), (&"cli".into(), &"forbidden".into()));
    fs::write(
        agent.path("bad.yaml"),
        fs::read_to_string(agent.path("one.yaml")).unwrap().replace("path:", "pth:"),
    )
    .unwrap();
    let (code, _, err) = mount(&agent, "bad.yaml", &["-s", "app"]);
    assert!(code == Some(1) && err.contains("did you mean `path`?"), "{err}");
}

#[test]
fn a_token_proves_who_asks() {
    let agent = bench();
    let issuer = Issuer::new();
    issuer.trusted_by(&agent, "");
    // Kubelet binds tokens to a pod, which is then the pod that is played; the sync controller's are bound to none.
    let bound = issuer.sign(&claims("app"));
    fs::write(agent.path("bound"), &bound).unwrap();
    let given = format!("{AUDIENCE}={}", agent.path("bound").display());
    let (code, _, err) = mount(&agent, "one.yaml", &["-s", "app", "--token", &given]);
    assert!(code == Some(0) && err.contains("\"pod\":\"app-1\""), "{err}");
    let mut claims = claims("app");
    claims["kubernetes.io"].as_object_mut().unwrap().remove("pod");
    let token = issuer.sign(&claims);
    fs::write(agent.path("token"), format!("{token}\n")).unwrap();
    let given = format!("{AUDIENCE}={}", agent.path("token").display());
    let (code, _, err) = mount(&agent, "one.yaml", &["-s", "app"]);
    assert!(code == Some(1) && err.contains("lack audience `latchkey`"), "{err}");
    let (code, _, err) = mount(&agent, "one.yaml", &["-s", "app", "--token", &given]);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = mount(&agent, "one.yaml", &["-s", "other", "--token", &given]);
    assert!(code == Some(1) && err.contains("service account `app`") && !err.contains(&token), "{err}");
    for (wrong, word) in [("no-equals-sign", "has no `=`"), ("a=/nonexistent/token", "cannot be read")] {
        let (code, _, err) = mount(&agent, "one.yaml", &["-s", "app", "--token", wrong]);
        assert!(code == Some(2) && err.contains("--token") && err.contains(word), "{err}");
    }
}

#[test]
fn wrong_flags_manifests_and_configurations_end_with_two() {
    let agent = bench();
    for args in [&["mount"][..], &["serve", "--no-such"], &["nonsense"], &["serve", "--admin-addr", "x"], &[]]
    {
        let (code, out, err) = latchkey(args, &[]);
        assert!(code == Some(2) && out.is_empty() && !err.is_empty(), "{args:?}: {err}");
    }
    let (code, _, err) = mount(&agent, "missing.yaml", &[]);
    assert!(code == Some(2) && err.contains("--file") && err.contains("missing.yaml"), "{err}");
    for command in ["serve", "mount"] {
        let with = |config: &str| {
            let (config, file) = (agent.path(config), agent.path("one.yaml"));
            let mut args = vec![command, "--config", config.to_str().unwrap()];
            if command == "mount" {
                args.extend(["-f", file.to_str().unwrap()]);
            }
            latchkey(&args, &[])
        };
        let (code, _, err) = with("absent.yaml");
        assert!(code == Some(2) && err.contains("cannot be read") && err.contains("absent.yaml"), "{err}");
        fs::write(agent.path("wrong.yaml"), "audit: { snik: x, polls: some }\nlimits: { drain: soon }\n")
            .unwrap();
        let (code, _, err) = with("wrong.yaml");
        assert_eq!(code, Some(2));
        for part in ["audit.snik", "did you mean `sink`?", "audit.polls", "limits.drain"] {
            assert!(err.contains(part), "{command}, {part}: {err}");
        }
    }
}

#[test]
fn help_and_version_end_well() {
    for args in [&["--help"][..], &["--version"], &["mount", "--help"], &["serve", "--help"]] {
        let (code, out, err) = latchkey(args, &[]);
        assert!(code == Some(0) && !out.is_empty() && err.is_empty(), "{args:?}: {err}");
    }
}

#[test]
fn every_flag_of_serve_has_its_variable() {
    let mut agent = bench();
    let values: BTreeMap<&str, String> = [
        ("LATCHKEY_SOCKET_DIR", agent.path("sockets").display().to_string()),
        ("LATCHKEY_CONFIG", agent.path("latchkey.yaml").display().to_string()),
        ("LATCHKEY_ADMIN_ADDR", agent.admin.to_string()),
        ("LATCHKEY_PROVIDERS", "latchkey".to_owned()),
        ("LATCHKEY_LOG_FORMAT", "text".to_owned()),
        ("LATCHKEY_LOG_LEVEL", "debug".to_owned()),
        ("LATCHKEY_METRICS_PER_VOLUME", "false".to_owned()),
    ]
    .into();
    let log = agent.path("log.jsonl");
    let serve = |change: Option<(&str, &str)>| {
        let log = fs::File::create(&log).unwrap();
        let mut command = Command::new(shipped());
        command.arg("serve").env_clear().envs(&values).envs(change).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("it starts")
    };
    let child = serve(None);
    agent.child = Some(child);
    agent.wait_until("it is ready", |agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200));
    assert!(agent.socket().exists());
    agent.wait_until("it logs", |agent| agent.log().contains('\n'));
    let log = agent.log();
    assert!(serde_json::from_str::<Value>(log.lines().next().unwrap()).is_err(), "text: {log}");
    agent.signal(rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    for (name, wrong, word) in [
        ("LATCHKEY_PROVIDERS", "latchkye", "did you mean `latchkey`?"),
        ("LATCHKEY_SOCKET_DIR", "/nonexistent/folder", "is not a folder"),
        ("LATCHKEY_LOG_LEVEL", "loud", "LOG_LEVEL"),
        ("LATCHKEY_METRICS_PER_VOLUME", "perhaps", "perhaps"),
    ] {
        agent.child = Some(serve(Some((name, wrong))));
        assert_eq!(agent.ended(), Some(2), "{name}");
        let err = agent.log();
        assert!(err.contains(word) || err.to_uppercase().contains(&word.replace('_', "-")), "{name}: {err}");
    }
}

#[test]
fn mount_reads_its_configuration_from_the_environment_too() {
    let agent = bench();
    let file = agent.path("one.yaml");
    let args = ["mount", "-f", file.to_str().unwrap(), "-s", "app"];
    let (code, _, err) = latchkey(&args, &[("LATCHKEY_CONFIG", &agent.path("latchkey.yaml"))]);
    assert_eq!(code, Some(0), "{err}");
    let (store, key) = (agent.path("store.age"), agent.path("key.txt"));
    let (code, _, err) =
        latchkey(&args, &[("LATCHKEY_LOCAL_FILE", &store), ("LATCHKEY_LOCAL_IDENTITY", &key)]);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = latchkey(&args, &[]);
    assert!(code == Some(1) && err.contains("there are openbao, vault"), "{err}");
}
