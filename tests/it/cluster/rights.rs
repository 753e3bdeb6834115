//! The files of rights in `daemonset/` allow what the agent asks, and nothing else.

use std::fs;
use std::path::Path;

use latchkey::yaml::{self, Limits, Node};

use crate::layers::source::top;

fn documents(name: &str) -> Vec<Node> {
    let text = fs::read_to_string(top().join("daemonset").join(name)).unwrap();
    yaml::documents(&text, Limits::PARAMETER).unwrap()
}

fn at<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('/').try_fold(node, Node::get)
}

fn text<'a>(node: &'a Node, path: &str) -> &'a str {
    at(node, path).and_then(Node::text).unwrap_or_else(|| panic!("no text at {path}"))
}

/// A rule on one line: its keys in the order of their names.
fn rule(node: &Node) -> String {
    let mut keys: Vec<String> = node
        .mapping()
        .unwrap()
        .iter()
        .map(|(key, values)| {
            let values: Vec<_> = values.sequence().unwrap().iter().filter_map(Node::text).collect();
            format!("{}={}", key.text().unwrap(), values.join(","))
        })
        .collect();
    keys.sort();
    keys.join(" ")
}

/// The rules of the role, which is bound to the agent's service account alone.
fn rights(name: &str, kind: &str) -> Vec<String> {
    let set = documents("latchkey.yaml").into_iter().find(|node| text(node, "kind") == "DaemonSet").unwrap();
    let (account, namespace) =
        (text(&set, "spec/template/spec/serviceAccountName"), text(&set, "metadata/namespace"));
    let documents = documents(name);
    let [role, binding] = &documents[..] else { panic!("a role and its binding") };
    assert_eq!((text(role, "kind"), text(binding, "kind")), (kind, &*format!("{kind}Binding")));
    assert_eq!(
        (text(binding, "roleRef/kind"), text(binding, "roleRef/name")),
        (kind, text(role, "metadata/name"))
    );
    if kind == "Role" {
        for node in [role, binding] {
            assert_eq!(text(node, "metadata/namespace"), namespace);
        }
    }
    let subjects = at(binding, "subjects").and_then(Node::sequence).unwrap();
    assert_eq!(subjects.len(), 1);
    let subject = ["kind", "name", "namespace"].map(|key| text(&subjects[0], key));
    assert_eq!(subject, ["ServiceAccount", account, namespace]);
    at(role, "rules").and_then(Node::sequence).unwrap().iter().map(rule).collect()
}

#[test]
fn each_right_is_a_file_of_its_own_and_the_least_that_does() {
    let token = rights("rbac-tokenrequest.yaml", "ClusterRole");
    assert_eq!(token, ["apiGroups= resources=serviceaccounts/token verbs=create"]);
    let key = rights("rbac-version-key.yaml", "Role");
    assert_eq!(
        key,
        [
            "apiGroups= resourceNames=latchkey-version-key resources=secrets verbs=get",
            "apiGroups= resources=secrets verbs=create",
        ]
    );
}

#[test]
fn the_page_names_every_file_of_rights_and_the_secret_as_they_are() {
    let page = fs::read_to_string(top().join("docs/CLUSTER.md")).unwrap();
    let folder = fs::read_dir(top().join("daemonset")).unwrap();
    let names: Vec<String> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let rights: Vec<_> = names.iter().filter(|name| name.starts_with("rbac-")).collect();
    assert_eq!(rights.len(), 2);
    assert!(rights.iter().all(|name| page.contains(&format!("daemonset/{name}"))), "{rights:?}");
    assert!(page.contains("versions: { secret: latchkey-version-key }"));
    for source in ["src/cluster/refusal.rs", "src/config/keys.rs"] {
        let text = fs::read_to_string(top().join(source)).unwrap();
        for named in text.split("daemonset/").skip(1).filter_map(|rest| rest.split('`').next()) {
            assert!(top().join("daemonset").join(Path::new(named)).is_file(), "{source} names {named}");
        }
    }
}
