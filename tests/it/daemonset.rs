//! The manifests in `daemonset/` keep their promises, and agree with the program: every flag, key and path that they
//! name is one that it knows.

use std::fs;
use std::path::PathBuf;

use latchkey::config::{self, Store};
use latchkey::model::FileMode;
use latchkey::yaml::{self, Limits, Node};

use crate::layers::source::top;

fn documents(name: &str) -> Vec<Node> {
    let text = fs::read_to_string(top().join("daemonset").join(name)).unwrap();
    yaml::documents(&text, Limits::PARAMETER).unwrap()
}

fn kind(node: &Node) -> &str {
    text(node, "kind")
}

/// The document of a kind; there is exactly one.
fn document(of: &str) -> Node {
    let found: Vec<Node> = documents("latchkey.yaml").into_iter().filter(|node| kind(node) == of).collect();
    assert_eq!(found.len(), 1, "documents of kind {of}");
    found[0].clone()
}

/// The node at a path of keys joined by `/`.
fn find<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('/').try_fold(node, Node::get)
}

fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
    find(node, path).unwrap_or_else(|| panic!("nothing at {path}"))
}

fn text<'a>(node: &'a Node, path: &str) -> &'a str {
    at(node, path).text().unwrap_or_else(|| panic!("no text at {path}"))
}

fn list<'a>(node: &'a Node, path: &str) -> &'a [Node] {
    at(node, path).sequence().unwrap_or_else(|| panic!("no list at {path}"))
}

fn texts<'a>(node: &'a Node, path: &str) -> Vec<&'a str> {
    list(node, path).iter().filter_map(Node::text).collect()
}

fn pod() -> Node {
    at(&document("DaemonSet"), "spec/template/spec").clone()
}

/// The only container.
fn container() -> Node {
    let pod = pod();
    assert!(find(&pod, "initContainers").is_none() && list(&pod, "containers").len() == 1);
    list(&pod, "containers")[0].clone()
}

/// The entry of a list with that name.
fn named<'a>(list: &'a [Node], name: &str) -> &'a Node {
    list.iter().find(|node| text(node, "name") == name).unwrap_or_else(|| panic!("nothing named {name}"))
}

fn args() -> Vec<String> {
    texts(&container(), "args").into_iter().map(str::to_owned).collect()
}

fn flag(name: &str) -> Option<String> {
    args().iter().find_map(|arg| Some(arg.strip_prefix(&format!("--{name}="))?.to_owned()))
}

fn configuration() -> config::Config {
    let map = document("ConfigMap");
    let path = PathBuf::from(flag("config").expect("--config"));
    let key = path.file_name().and_then(|name| name.to_str()).unwrap();
    config::parse(text(at(&map, "data"), key), |_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Where the volume of a name is mounted.
fn mounted(name: &str) -> PathBuf {
    let container = container();
    let mounts = list(&container, "volumeMounts");
    text(named(mounts, name), "mountPath").into()
}

#[test]
fn there_are_no_rights_to_the_api_server() {
    let kinds: Vec<String> = documents("latchkey.yaml").iter().map(|node| kind(node).to_owned()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ConfigMap", "DaemonSet"]);
    assert_eq!(text(&document("ServiceAccount"), "automountServiceAccountToken"), "false");
    assert_eq!(text(&pod(), "automountServiceAccountToken"), "false");
    assert_eq!(text(&pod(), "serviceAccountName"), text(&document("ServiceAccount"), "metadata/name"));
}

#[test]
fn the_container_has_nothing_of_root_but_its_number() {
    let (pod, container) = (pod(), container());
    for (key, value) in [
        ("runAsUser", "0"),
        ("privileged", "false"),
        ("allowPrivilegeEscalation", "false"),
        ("readOnlyRootFilesystem", "true"),
    ] {
        assert_eq!(text(&container, &format!("securityContext/{key}")), value, "{key}");
    }
    assert_eq!(texts(&container, "securityContext/capabilities/drop"), ["ALL"]);
    assert!(find(&container, "securityContext/capabilities/add").is_none());
    assert_eq!(text(&pod, "securityContext/seccompProfile/type"), "RuntimeDefault");
    assert!(find(&container, "securityContext/seccompProfile").is_none(), "the pod's profile is replaced");
    for key in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        assert!(find(&pod, key).is_none(), "{key}");
    }
}

#[test]
fn of_the_host_only_the_drivers_folders_for_sockets_are_there() {
    let pod = pod();
    let host: Vec<&Node> =
        list(&pod, "volumes").iter().filter(|one| find(one, "hostPath").is_some()).collect();
    assert_eq!(host.len(), 2);
    for volume in &host {
        assert_eq!(mounted(text(volume, "name")), PathBuf::from(text(volume, "hostPath/path")));
    }
    let folder = text(host[0], "hostPath/path");
    // The other one, which the driver looks into first.
    assert_eq!(text(host[1], "hostPath/path"), "/etc/kubernetes/secrets-store-csi-providers");
    let served = flag("socket-dir").unwrap_or_else(|| default_of("--socket-dir"));
    assert_eq!(served, folder);
    let container = container();
    let mounts = list(&container, "volumeMounts");
    let writable = mounts.iter().filter(|one| find(one, "readOnly").and_then(Node::bool) != Some(true));
    assert_eq!(writable.map(|one| text(one, "name")).collect::<Vec<_>>(), [text(host[0], "name")]);
}

/// A flag's default, from the page that is generated from the flags.
fn default_of(flag: &str) -> String {
    let page = fs::read_to_string(top().join("docs/CONFIGURATION.md")).unwrap();
    let row = page.lines().find(|line| line.starts_with(&format!("| `{flag}` |"))).expect("a row");
    row.split(" | ").nth(2).expect("its default").trim_matches('`').to_owned()
}

#[test]
fn every_flag_and_key_is_one_that_the_program_knows() {
    assert_eq!(args().first().map(String::as_str), Some("serve"));
    let page = fs::read_to_string(top().join("docs/CONFIGURATION.md")).unwrap();
    let serve = page.split("### `latchkey serve`").nth(1).and_then(|rest| rest.split("###").next()).unwrap();
    for arg in &args()[1..] {
        let name = arg.split('=').next().unwrap();
        assert!(serve.contains(&format!("| `{name}` |")), "{arg}");
    }
    let local = configuration().stores.iter().filter(|store| matches!(store, Store::Local(_))).count();
    assert_eq!(local, 1);
    let config = PathBuf::from(flag("config").unwrap());
    assert_eq!(config.parent(), Some(mounted("config").as_path()));
}

#[test]
fn the_store_is_where_the_secret_is_mounted_and_its_key_is_the_agents_alone() {
    let configuration = configuration();
    let Store::Local(store) = &configuration.stores[0] else { panic!("the store is a local one") };
    let folder = mounted("store");
    assert_eq!((store.file.parent(), store.identity.parent()), (Some(&*folder), Some(&*folder)));

    let pod = pod();
    let volume = named(list(&pod, "volumes"), "store");
    let mode = FileMode::parse_octal(text(volume, "secret/defaultMode")).unwrap();
    assert_eq!(mode.bits() & 0o077, 0, "mode {mode}");

    // The command that makes the Secret names the files as the configuration does.
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/INSTALL.md")).unwrap();
    let made = page.lines().find(|line| line.contains("create secret generic")).unwrap();
    assert!(made.contains(text(volume, "secret/secretName")), "{made}");
    for path in [&store.file, &store.identity] {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(made.contains(&format!("--from-file={name}")), "{made}");
    }
}

#[test]
fn the_probes_reach_the_admin_address() {
    let container = container();
    let address = flag("admin-addr").unwrap();
    assert_eq!(address, "0.0.0.0:8090", "kubelet comes to the pod's address");
    let port = named(list(&container, "ports"), "admin");
    assert!(address.ends_with(&format!(":{}", text(port, "containerPort"))));
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(text(&container, &format!("{probe}/httpGet/path")), path);
        assert_eq!(text(&container, &format!("{probe}/httpGet/port")), "admin");
    }
    let scraped = at(&document("DaemonSet"), "spec/template/metadata/annotations").clone();
    assert_eq!(scraped.get("prometheus.io/port").and_then(Node::text), Some(text(port, "containerPort")));
}

#[test]
fn a_drain_ends_before_kubelet_loses_patience() {
    let grace: u64 = text(&pod(), "terminationGracePeriodSeconds").parse().unwrap();
    assert!(grace >= configuration().drain.as_secs() + 10, "{grace} s");
}

#[test]
fn it_runs_on_every_linux_node_and_is_evicted_last() {
    let pod = pod();
    assert_eq!(text(&pod, "priorityClassName"), "system-node-critical");
    let tolerations = list(&pod, "tolerations");
    assert_eq!(tolerations.len(), 1);
    let keys = tolerations[0].mapping().unwrap().iter().map(|(key, value)| (key.text(), value.text()));
    // With a key or an effect beside it, it would tolerate some taints only.
    assert_eq!(keys.collect::<Vec<_>>(), [(Some("operator"), Some("Exists"))]);
    assert_eq!(at(&pod, "nodeSelector").get("kubernetes.io/os").and_then(Node::text), Some("linux"));
}

#[test]
fn an_update_starts_the_new_pod_of_a_node_before_it_ends_the_old_one() {
    let set = document("DaemonSet");
    assert_eq!(text(&set, "spec/updateStrategy/type"), "RollingUpdate");
    assert_eq!(text(&set, "spec/updateStrategy/rollingUpdate/maxUnavailable"), "0");
    let surge = text(&set, "spec/updateStrategy/rollingUpdate/maxSurge");
    assert!(surge.trim_end_matches('%').parse::<u32>().unwrap() > 0, "{surge}");
    // Two pods of one node at once: neither may hold what there is once on a node. The host's network is ruled out above.
    assert!(list(&container(), "ports").iter().all(|port| find(port, "hostPort").is_none()));
}

/// The commands of `docs/INSTALL.md` that are there to be run.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(top().join("docs/INSTALL.md")).unwrap();
    let commands = page.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    commands.map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_page_name_what_the_manifests_have() {
    let set = document("DaemonSet");
    let (name, namespace) = (text(&set, "metadata/name"), text(&set, "metadata/namespace"));
    let port = text(named(list(&container(), "ports"), "admin"), "containerPort").to_owned();
    let label =
        at(&set, "spec/selector/matchLabels").get("app.kubernetes.io/name").and_then(Node::text).unwrap();
    let mut seen = [false; 6];
    for command in commands() {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut check = |which: usize, holds: bool| {
            seen[which] = true;
            assert!(holds, "{command}");
        };
        let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1));
        if words.iter().any(|word| word.starts_with("daemonset/") && !word.ends_with(".yaml")) {
            check(
                0,
                words.contains(&format!("daemonset/{name}").as_str()) && after("-n") == Some(&namespace),
            );
        }
        if command.contains("secret ") {
            let secret = text(named(list(&pod(), "volumes"), "store"), "secret/secretName").to_owned();
            check(1, words.contains(&secret.as_str()) && after("-n") == Some(&namespace));
        }
        if let Some(path) = after("-f").filter(|_| words[0] == "kubectl") {
            check(2, top().join(path).is_file());
        }
        if words[0].starts_with("image/") {
            check(3, top().join(words[0]).is_file());
        }
        if command.contains("/proxy/metrics") {
            check(
                4,
                command.contains(&format!(":{port}/proxy")) && command.contains(&format!("name={label} ")),
            );
        }
        if let Some((_, patch)) = command.split_once(" -p '") {
            let patch: serde_json::Value = serde_json::from_str(patch.trim_end_matches('\'')).unwrap();
            let audiences = patch["spec"]["tokenRequests"].as_array().unwrap();
            check(
                5,
                audiences.iter().all(|one| ["vault", "openbao"].contains(&one["audience"].as_str().unwrap())),
            );
        }
    }
    assert_eq!(seen, [true; 6], "a kind of command that the page has no more");
}

#[test]
fn the_image_is_imported_under_the_name_that_the_manifest_has() {
    let read = |path: &str| fs::read_to_string(top().join(path)).unwrap();
    let image = text(&container(), "image").to_owned();
    assert!(read("docs/INSTALL.md").contains(&format!("`{image}`")));
    // Without a registry in it, a name means Docker's library.
    let (name, version) = image.split_once(':').unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(read("image/build").contains(&format!("name=docker.io/library/{name}:$version ")));
    // What the page executes in the container is its entry point.
    assert!(commands().iter().any(|command| command.contains(&format!("daemonset/{name} -- /{name} "))));
    assert!(read("image/pack").contains(&format!("PROGRAM = \"{name}\"")));
}

#[test]
fn the_configuration_on_the_page_is_one() {
    let page = fs::read_to_string(top().join("docs/INSTALL.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        config::parse(block, |_| None).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn the_set_selects_the_pods_that_it_makes() {
    let set = document("DaemonSet");
    let label =
        |path: &str| at(&set, path).get("app.kubernetes.io/name").and_then(Node::text).map(str::to_owned);
    assert!(label("spec/selector/matchLabels").is_some());
    assert_eq!(label("spec/selector/matchLabels"), label("spec/template/metadata/labels"));
}
