//! The main job: a class goes in through the real contract, the files that a pod would see come out.

use crate::support::agent::{Agent, files, shipped};

#[tokio::test]
async fn a_class_becomes_files_with_modes_and_versions() {
    let agent = Agent::start(shipped());
    let mounted = agent
        .mount("app", "token: { store: local, path: web/token }\ndb: { store: local, path: web/db }\n")
        .await;
    let mounted = mounted.unwrap();
    let files = files(&mounted);
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), ["db/password", "db/username", "token"]);
    assert_eq!(files["token"].0, 0o644);
    assert_eq!(&files["db/password"].1[..], b"s3cr3t-password");
    assert_eq!(
        mounted.versions.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        ["db/password", "db/username", "token"]
    );
}
