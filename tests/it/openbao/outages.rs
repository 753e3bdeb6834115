//! A server that is sealed, that is gone, and that comes back.

use latchkey::error::{Reason, Retry};
use serde_json::json;

use super::bed::Bed;
use super::server::Storage;
use super::store::Pod;

#[tokio::test]
async fn a_session_outlives_a_sealed_server_and_a_killed_one() {
    let mut bed = Bed::start(Storage::Disk).await;
    bed.admin.write("secret/data/app/outage", json!({ "data": { "value": "there" } })).await;
    let pod = Pod::app(&bed);
    let session = pod.session().await;
    assert_eq!(pod.value(&session, "secret/data/app/outage", "value").await, "there");

    bed.server.seal().await;
    for fault in [
        pod.read(&session, "secret/data/app/outage").await.err().expect("it is sealed"),
        pod.log_in().await.err().expect("it is sealed"),
    ] {
        assert_eq!(
            (fault.problem.reason, fault.retry),
            (Reason::Upstream, Retry::Backoff),
            "{}",
            fault.problem
        );
        assert!(fault.problem.to_string().contains("sealed"), "{}", fault.problem);
    }
    bed.server.unseal().await;
    assert_eq!(pod.value(&session, "secret/data/app/outage", "value").await, "there");

    bed.server.kill();
    for fault in [
        pod.read(&session, "secret/data/app/outage").await.err().expect("nobody is there"),
        pod.log_in().await.err().expect("nobody is there"),
    ] {
        assert_eq!(
            (fault.problem.reason, fault.retry),
            (Reason::Unreachable, Retry::Backoff),
            "{}",
            fault.problem
        );
    }
    bed.server.run().await;
    bed.server.unseal().await;
    assert_eq!(pod.value(&session, "secret/data/app/outage", "value").await, "there");
    assert!(pod.log_in().await.is_ok(), "and it takes logins");
}
