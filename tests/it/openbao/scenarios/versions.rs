//! Scenario 11: the versions of objects, which the driver writes into the pod's status.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::node::{Counted, holding};
use super::{Class, SOCKETS, furnished};
use crate::support::driver_like::Outcome;

const OBJECTS: &str = "- { objectName: user, secretPath: secret/data/shop/till, secretKey: user }\n\
                       - { objectName: whole.json, secretPath: secret/data/shop/till }\n";

/// A key of versions, as the administrator mounts it into every agent.
pub(in super::super) fn write_key(file: &Path, byte: u8) {
    let _ = std::fs::remove_file(file);
    std::fs::write(file, [byte; 32]).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o400)).unwrap();
}

#[tokio::test]
async fn s_11_versions_outlive_the_pod_and_the_agent_and_change_with_their_key() {
    furnished().await;
    for provider in SOCKETS {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("version.key");
        write_key(&key, 1);
        let mut node = Counted::start("", &format!("versions: {{ keyFile: {} }}\n", key.display())).await;
        let class = Class::new(provider, "shop-kv", OBJECTS);
        let mut seen = Vec::new();
        for step in 0..4 {
            match step {
                2 => node.restart(),
                3 => {
                    write_key(&key, 2);
                    node.restart();
                }
                _ => {}
            }
            // Each time another pod, as a Deployment makes one in place of one that is gone.
            let mut volume = class.volume(&node, &holding("shop-kv", 110 + step).await);
            let outcome = volume.publish().await;
            assert!(matches!(outcome, Outcome::Asked(_)), "{provider}: {outcome:?}");
            seen.push((volume.versions().to_vec(), volume.sees()));
        }
        assert_eq!(seen[0].0.len(), 2, "{provider}: each object has one");
        assert_eq!(seen[0], seen[1], "{provider}: another pod");
        assert_eq!(seen[0], seen[2], "{provider}: another process");
        assert_eq!(seen[0].1, seen[3].1, "{provider}: what is in the files does not depend on the key");
        for (before, after) in seen[0].0.iter().zip(&seen[3].0) {
            assert_eq!(before.0, after.0);
            assert_ne!(before.1, after.1, "{provider}: the version of {}", before.0);
        }
    }
}
