//! An hour of a volume's life on two nodes, with an upgrade of one agent in between: what has not changed in the server
//! is the same to the byte, and so are its versions.

use std::collections::BTreeSet;

use latchkey::driver::Mounted;
use serde_json::json;

use super::bed::bed;
use super::node::{Counted, holding};
use super::scenarios::write_key;
use crate::support::agent::files;

const OBJECTS: &str = "- { objectName: two.json, secretPath: secret/data/app/polled }\n\
                       - { objectName: one.json, secretPath: kv1/app/polled }\n\
                       - { objectName: value, secretPath: secret/data/app/polled, secretKey: value }\n";

/// Two nodes with one key of versions, which read anew at each poll.
async fn nodes(key: &std::path::Path) -> [Counted; 2] {
    let more = format!("versions: {{ keyFile: {} }}\n", key.display());
    [Counted::start(", fresh: 0s", &more).await, Counted::start(", fresh: 0s", &more).await]
}

fn read(mounted: &Mounted) -> (Vec<(String, u32, Vec<u8>)>, Vec<(String, String)>) {
    let files = files(mounted);
    let files = files.into_iter().map(|(path, (mode, bytes))| (path.to_owned(), mode, bytes.to_vec()));
    (files.collect(), mounted.versions.clone())
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
            let seen = read(&nodes[at].delivered(provider, &pods[at], &parameters).await);
            assert_eq!((seen.0.len(), seen.1.len()), (3, 3));
            let first = first.get_or_insert_with(|| seen.clone());
            assert!(seen == *first, "{provider}, poll {poll}: {:?}\nand at first: {:?}", seen.1, first.1);
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
            after.push(read(&node.delivered(provider, pod, &parameters).await));
        }
        assert!(after[0] == after[1], "{provider}: both nodes tell of the change alike");
        for ((file, old), (version, was)) in
            after[0].0.iter().zip(&before.0).zip(after[0].1.iter().zip(&before.1))
        {
            assert!(file.2 != old.2 && version.1 != was.1, "{provider}: {} has changed", file.0);
        }
    }
}

/// One a minute.
const POLLS: usize = 60;
