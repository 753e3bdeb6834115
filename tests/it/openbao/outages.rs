//! A server that is sealed, that is gone, and that comes back.

use std::time::{Duration, Instant};

use latchkey::error::{Reason, Retry};
use serde_json::json;
use tonic::Code;

use super::bed::Bed;
use super::node::{Node, of};
use super::server::{Clients, Server, Storage};
use super::store::Pod;

#[tokio::test]
async fn a_session_outlives_a_sealed_server_and_a_killed_one() {
    let mut bed = Bed::start(Storage::Disk, Clients::Any).await;
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

/// How a server can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outage {
    /// It is there, and says nothing.
    Hung,
    Sealed,
    Killed,
}

impl Outage {
    async fn begin(self, server: &mut Server) {
        match self {
            Self::Hung => server.hang(),
            Self::Sealed => server.seal().await,
            Self::Killed => server.kill(),
        }
    }

    async fn end(self, server: &mut Server) {
        match self {
            Self::Hung => server.wake(),
            Self::Sealed => server.unseal().await,
            Self::Killed => {
                server.run().await;
                server.unseal().await;
            }
        }
    }

    /// The reason that leads the text, and the words that tell it from the others.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Hung => ("timeout", "did not answer within the time of an attempt"),
            Self::Sealed => ("upstream", "the server is sealed"),
            Self::Killed => ("unreachable", "the connection is refused"),
        }
    }
}

const CLASS: [(&str, &str); 2] =
    [("roleName", "app"), ("objects", "- { objectName: o, secretPath: secret/data/app/outages }\n")];

/// On both sockets: a pod that waits for its first mount is told what is wrong with the server, soon enough for kubelet
/// to hear it, and a pod that was served before is given again what it has.
#[tokio::test]
async fn a_hung_a_sealed_and_a_killed_server_are_told_apart_and_what_was_delivered_stays() {
    let mut bed = Bed::start(Storage::Disk, Clients::Any).await;
    bed.admin.write("secret/data/app/outages", json!({ "data": { "value": "there" } })).await;
    // An attempt's time is cut short, and the breaker is kept out, which would speak in the server's place.
    let limits = "limits: { attempt: 2s, breakerAfter: 1000 }\n";
    let node = Node::at(&bed, ", fresh: 0s", limits);
    let mut number = 0;
    for provider in ["vault", "openbao"] {
        for outage in [Outage::Hung, Outage::Sealed, Outage::Killed] {
            number += 2;
            let (served, waits) = (of(&bed, "app", number), of(&bed, "app", number + 1));
            let first = node.delivered(provider, &served, &CLASS).await;
            let stale = "latchkey_cache_total{store=\"STORE\",result=\"stale\"}".replace("STORE", provider);
            let before = node.agent.figure(&stale);

            outage.begin(&mut bed.server).await;
            let start = Instant::now();
            let (refused, again) = tokio::join!(
                node.refused(provider, &waits, &CLASS),
                node.delivered(provider, &served, &CLASS)
            );
            let took = start.elapsed();
            outage.end(&mut bed.server).await;

            let (code, text) = refused;
            let (reason, words) = outage.told();
            let line = text.lines().next().unwrap();
            assert_eq!(code, Code::Internal, "{outage:?}: {text}");
            assert!(line.starts_with(&format!("{reason}: ")) && line.contains(words), "{outage:?}: {text}");
            assert!(line.contains(&bed.server.url()), "{outage:?}: {text}");
            assert!(again.files == first.files && again.versions == first.versions, "{outage:?}");
            assert!(node.agent.figure(&stale) > before, "{outage:?}: it is the last good");
            // Ours is 90 s, kubelet's 120 s.
            assert!(took < Duration::from_secs(90), "{outage:?}: {took:?}");

            // It is over: the pod that waited is served, and nobody has to do anything.
            node.delivered(provider, &waits, &CLASS).await;
            node.delivered(provider, &served, &CLASS).await;
        }
    }
}

/// The server counts calls by its own rule, and says how long to wait: the agent does.
#[tokio::test]
async fn a_quota_of_the_servers_is_waited_for_where_there_is_time_and_told_where_there_is_not() {
    let bed = Bed::start(Storage::Memory, Clients::Any).await;
    let mount = json!({ "type": "kv", "options": { "version": "1" } });
    bed.admin.write("sys/mounts/metered", mount).await;
    bed.allow(&bed.admin, "app", &[("metered/*", "read")]).await;
    bed.admin.write("sys/quotas/config", json!({ "enable_rate_limit_response_headers": true })).await;
    let mut objects = String::new();
    for number in 0..3 {
        bed.admin.write(&format!("metered/{number}"), json!({ "value": "there" })).await;
        objects +=
            &format!("- {{ objectName: o{number}, secretPath: metered/{number}, secretKey: value }}\n");
    }
    let parameters = [("roleName", "app"), ("objects", objects.as_str())];
    let node = Node::at(&bed, ", fresh: 0s", "");
    let quota = async |interval: &str| {
        let quota = json!({ "rate": 2, "interval": interval, "path": "metered/" });
        bed.admin.write("sys/quotas/rate-limit/metered", quota).await;
    };
    quota("2s").await;
    let pod = of(&bed, "app", 1);
    let first = node.delivered("vault", &pod, &parameters).await;
    assert_eq!(first.files.len(), 3);

    quota("1h").await;
    let (code, text) = node.refused("vault", &of(&bed, "app", 2), &parameters).await;
    assert_eq!(code, Code::Internal, "{text}");
    let line = text.lines().next().unwrap();
    assert!(line.starts_with("throttled") && !line.contains("retry after"), "{text}");
    // The same pod's rotation keeps what it has.
    assert!(node.delivered("vault", &pod, &parameters).await.files == first.files);
}
