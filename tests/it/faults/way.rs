//! The way there: names that stand for nothing, ports at which nobody listens, and certificates that nobody trusts.

use std::io;
use std::time::Duration;

use latchkey::error::Reason::{self, Timeout, Unreachable, Upstream};
use latchkey::model::{Address, Endpoint, Origin, Tls};

use super::bed::{Ask, Bed, CANARY, get};
use crate::testkit::{BlackHole, Identity, Testkit, closed_port};

/// A place that cannot be reached.
struct Nowhere {
    address: Address,
    ca: Option<std::path::PathBuf>,
    reason: Reason,
    words: &'static str,
}

#[tokio::test]
async fn f_09_f_23_nobody_there_is_told_apart_from_nobody_trusted_and_harms_nobody_else() {
    let kit = Testkit::start();
    let (hole, mute) = (BlackHole::open(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let web = |text: String| Address::parse(&text).expect("an address");
    let port = kit.listener().port();
    let mut places: Vec<Nowhere> = [
        (web(format!("https://gone.kit.test:{port}")), Unreachable, "`gone.kit.test` does not resolve (DNS)"),
        (
            web(format!("https://empty.kit.test:{port}")),
            Unreachable,
            "`empty.kit.test` does not resolve (DNS)",
        ),
        (web(format!("http://{}", closed_port())), Unreachable, "the connection is refused"),
        (web(format!("http://{}", hole.address)), Unreachable, "there was no connection in time"),
        (
            web(format!("https://{}", mute.local_addr().unwrap())),
            Timeout,
            "the TLS handshake was not finished in time",
        ),
    ]
    .into_iter()
    .map(|(address, reason, words)| Nowhere { address, ca: Some(kit.ca()), reason, words })
    .collect();
    let untrusted = [
        (Identity::Untrusted, Unreachable, "of an authority that is not trusted"),
        (Identity::WrongName, Unreachable, "is for another name"),
        (Identity::Expired, Unreachable, "is not valid now"),
        (Identity::Plain, Upstream, "it does not speak TLS"),
    ];
    let mut others = Vec::new();
    for (identity, reason, words) in untrusted {
        let other = Testkit::start_as(identity);
        let address = web(format!("https://{}", other.listener()));
        places.push(Nowhere { address, ca: Some(other.ca()), reason, words });
        others.push(other);
    }
    let mut endpoints = vec![kit.endpoint_at("calm.kit.test", Origin::Administrator)];
    endpoints.extend(places.iter().map(|place| Endpoint {
        address: place.address.clone(),
        origin: Origin::Administrator,
        tls: Tls { ca: place.ca.clone().map(Into::into), ..Tls::default() },
    }));
    let bed = Bed::with(kit, endpoints, |name| match name {
        "gone.kit.test" => Err(io::ErrorKind::NotFound.into()),
        "empty.kit.test" => Ok(Vec::new()),
        _ => Ok(vec!["127.0.0.1".parse().unwrap()]),
    });
    let asks: Vec<Ask> = places
        .iter()
        .enumerate()
        .map(|(pod, place)| Ask { address: place.address.to_string(), ..bed.ask(pod + 1, "x", &get("kv/a")) })
        .collect();
    let mut told: Vec<String> = Vec::new();
    for round in 0..2 {
        let calm = bed.ask(100 + round, "calm.kit.test", &get("kv/a"));
        let mut answers = bed.mount_all(&[asks.clone(), vec![calm]].concat()).await;
        let calm = answers.pop().unwrap();
        assert!(calm.file().starts_with(CANARY) && calm.took <= Duration::from_secs(2), "{:?}", calm.took);
        for (place, answer) in places.iter().zip(&answers) {
            let text = answer.refused().text();
            assert_eq!(answer.refused().reason(), place.reason, "{text}");
            assert!(text.contains(place.words) && text.contains(&place.address.site()), "{text}");
            assert!(!text.contains(CANARY) && !text.contains("eyJ"), "{text}");
        }
        let texts: Vec<String> = answers.iter().map(|answer| answer.refused().text()).collect();
        if round == 0 { told = texts } else { assert_eq!(told, texts, "the same words the second time") }
    }
    assert!(others.iter().all(|other| other.requests() == 0), "nobody untrusted was told anything");
    bed.is_well().await;
}

/// The same for a volume that has its files: it keeps them, and is up to date soon after the way is open again.
#[tokio::test]
async fn a_name_that_stops_resolving_takes_nobody_his_files() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let (kit, gone) = (Testkit::start_as(Identity::Plain), Arc::new(AtomicBool::new(false)));
    let out = Arc::clone(&gone);
    let endpoints = ["a.kit.test"].map(|host| kit.endpoint_at(host, Origin::Administrator)).into();
    let bed = Bed::with(kit, endpoints, move |_| {
        if out.load(Ordering::SeqCst) {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(vec!["127.0.0.1".parse().unwrap()])
        }
    });
    let ask = bed.ask(1, "a.kit.test", &get("kv/a"));
    assert!(bed.mount_one(&ask).await.file().starts_with(CANARY));
    gone.store(true, Ordering::SeqCst);
    // Connections that are open need no name; the server closes them.
    let closing = crate::testkit::Reply::new(200, "").manner(crate::testkit::Manner::Close);
    bed.faults_for("a.kit.test", "kv/a", Some(1), &closing);
    bed.held.elapse(Duration::from_secs(61)).await;
    let stale = "latchkey_cache_total{store=\"vault\",result=\"stale\"}";
    for poll in 1..4 {
        assert!(bed.mount_one(&ask).await.file().starts_with(CANARY));
        assert_eq!(bed.figure(stale), poll);
        bed.held.elapse(Duration::from_secs(20)).await;
    }
    let other = bed.mount_one(&bed.ask(2, "a.kit.test", &get("kv/a"))).await;
    assert_eq!(other.refused().reason(), Unreachable, "{}", other.refused());
    gone.store(false, Ordering::SeqCst);
    bed.held.elapse(Duration::from_secs(60)).await;
    bed.forget();
    assert!(bed.mount_one(&ask).await.file().starts_with(CANARY));
    assert_eq!((bed.asked("a.kit.test", "kv/a"), bed.figure(stale)), (1, 3), "from the server again");
    bed.is_well().await;
}
