//! An hour of a volume's life on two nodes, with an upgrade of one agent in between: what has not changed in the server
//! is the same to the byte, and so are its versions.

use std::collections::BTreeSet;

use serde_json::json;

use super::bed::bed;
use super::node::{Counted, holding};
use super::scenarios::write_key;

const OBJECTS: &str = "- { objectName: two.json, secretPath: secret/data/app/polled }\n\
                       - { objectName: one.json, secretPath: kv1/app/polled }\n\
                       - { objectName: value, secretPath: secret/data/app/polled, secretKey: value }\n";

/// Two nodes with one key of versions, which read anew at each poll.
async fn nodes(key: &std::path::Path) -> [Counted; 2] {
    let more = format!("versions: {{ keyFile: {} }}\n", key.display());
    [Counted::start(", fresh: 0s", &more).await, Counted::start(", fresh: 0s", &more).await]
}

#[tokio::test]
async fn sixty_polls_by_two_nodes_and_a_restart_between_give_the_same_bytes_and_versions() {
    let bed = bed().await;
    let write = async |value: &str| {
        // What Go's encoder escapes, and numbers that must stay as they are.
        let fields =
            json!({ "value": value, "html": "<a&b>", "count": 1.50, "nested": { "z": 1, "a": null } });
        bed.admin.write("secret/data/app/polled", json!({ "data": fields })).await;
        bed.admin.write("kv1/app/polled", fields).await;
    };
    write("before").await;
    // The server's own replies are never the same twice: each names its request.
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        ids.insert(bed.admin.read("kv1/app/polled").await["request_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 2);

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("version.key");
    write_key(&key, 7);
    for provider in ["vault", "openbao"] {
        write("before").await;
        let mut nodes = nodes(&key).await;
        let pods = [holding("app", 601).await, holding("app", 602).await];
        let parameters = [("roleName", "app"), ("objects", OBJECTS)];
        let mut first = None;
        for poll in 0..POLLS {
            if poll == POLLS / 2 {
                nodes[0].restart();
            }
            let at = poll % 2;
            let seen = nodes[at].delivered(provider, &pods[at], &parameters).await;
            assert_eq!((seen.files.len(), seen.versions.len()), (3, 3));
            let first = first.get_or_insert_with(|| (seen.files.clone(), seen.versions.clone()));
            assert_eq!(seen.versions, first.1, "{provider}, poll {poll}");
            assert_eq!(seen.files, first.0, "{provider}, poll {poll}");
        }
        for node in &nodes {
            // Nobody answered from memory.
            assert_eq!(node.front.count("GET kv1/app/polled"), POLLS / 2, "{:?}", node.front.counts());
            assert_eq!(node.front.count("GET secret/data/app/polled"), POLLS / 2);
        }
        write("after").await;
        let before = first.unwrap();
        let mut after = Vec::new();
        for (node, pod) in nodes.iter().zip(&pods) {
            after.push(node.delivered(provider, pod, &parameters).await);
        }
        let [one, two] = &after[..] else { panic!("two nodes") };
        assert!(one.files == two.files && one.versions == two.versions, "{provider}: both tell of it alike");
        for (file, old) in one.files.iter().zip(&before.0) {
            assert_ne!(file.2, old.2, "{provider}: {} has changed", file.0);
        }
        for (version, old) in one.versions.iter().zip(&before.1) {
            assert_ne!(version.1, old.1, "{provider}: {} has changed", version.0);
        }
    }
}

/// One a minute.
const POLLS: usize = 60;
