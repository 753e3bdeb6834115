//! The kit itself: that held time leaves IO alone, and that each fault is the one that its name says.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{BlackHole, Identity, Manner, Reply, Testkit, closed_port, held};

/// A client that knows TLS and nothing of HTTP.
async fn connect(kit: &Testkit) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(kit.ca()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(kit.listener()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("a.kit.test").unwrap(), stream).await
}

async fn ask(kit: &Testkit, path: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut stream = connect(kit).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a.kit.test:1\r\nX-One: 1\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Everything that comes, and how it ended.
async fn rest(mut stream: TlsStream<TcpStream>) -> (String, io::Result<()>) {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all).await.map(drop);
    (String::from_utf8(all).unwrap(), ended)
}

#[tokio::test]
async fn held_time_moves_only_as_it_is_told_while_io_goes_on() {
    let kit = Testkit::start();
    kit.script(
        "/late",
        Reply::text(200, "late").after(Duration::from_millis(60)).header("connection", "close"),
    );
    let held = held();
    let clock = held.clock;
    let mut stream = ask(&kit, "/late").await.unwrap();
    let mut first = [0; 15];
    let answered = clock.until(clock.now() + Duration::from_secs(15), stream.read_exact(&mut first)).await;
    assert!(answered.is_some(), "60 real milliseconds of IO are no 15 s of held time");
    assert_eq!(&first, b"HTTP/1.1 200 Ki");

    let began = Instant::now();
    let wait = clock.sleep(Duration::from_secs(15));
    let (out, took) = held.drive(Duration::from_secs(14), wait).await;
    assert!(out.is_none() && took == Duration::from_secs(14), "{took:?}");
    let wait = clock.sleep(Duration::from_secs(15));
    let ((), ()) = tokio::join!(wait, held.elapse(Duration::from_secs(15)));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn scripts_go_before_handlers_and_everything_is_on_record() {
    let kit = Testkit::start();
    kit.route("a.kit.test", |request| Reply::text(200, &format!("handled {}", request.path)));
    kit.route("*", |_| Reply::text(404, "any other"));
    kit.script("/v1/", Reply::text(418, "scripted"));
    for expected in ["scripted", "handled /v1/x?y=1"] {
        let mut stream = ask(&kit, "/v1/x?y=1").await.unwrap();
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).ends_with(expected) {
            assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0, "{}", String::from_utf8_lossy(&all));
        }
    }
    let log = kit.take_log();
    assert_eq!((log.len(), kit.connections(), kit.requests(), kit.unasked()), (2, 2, 2, 0));
    assert_eq!((&*log[0].method, &*log[0].host, &*log[0].path), ("GET", "a.kit.test", "/v1/x?y=1"));
    assert_eq!((log[0].header("x-one"), &*log[0].body, log[1].connection), (Some("1"), &b"{}"[..], 2));
    assert!(log[0].json().is_object() && kit.take_log().is_empty());
}

#[tokio::test]
async fn every_fault_is_what_its_name_says() {
    let kit = Testkit::start();
    let short = Duration::from_millis(150);
    let body = Reply::from(Manner::Whole).body;
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(body.len(), 1_000);
    for manner in [Manner::Truncated(10), Manner::Reset(10)] {
        kit.script("/", manner.clone().into());
        let (said, ended) = rest(ask(&kit, "/").await.unwrap()).await;
        assert!(said.contains("content-length: 1000") && said.ends_with(&text[..10]), "{manner:?}: {said}");
        let reset = ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert_eq!(reset, manner == Manner::Reset(10), "{manner:?}");
    }
    for (manner, reset) in [(Manner::Close, false), (Manner::ResetAtOnce, true)] {
        kit.script("/", manner.into());
        let (said, ended) = rest(ask(&kit, "/").await.unwrap()).await;
        assert_eq!((said.as_str(), ended.is_err()), ("", reset));
    }
    kit.script("/", Reply::empty().header("connection", "close"));
    let mut stream = ask(&kit, "/").await.unwrap();
    let mut said = vec![0; 21];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said, b"HTTP/1.1 204 Kit\r\ncon", "no length where there is no body");
    kit.script("/", Reply::new(0, "SSH-2.0-x\r\n").manner(Manner::Raw));
    assert_eq!(rest(ask(&kit, "/").await.unwrap()).await.0, "SSH-2.0-x\r\n");
    for (manner, bytes) in [(Manner::Hang, 0), (Manner::HangAfter(10), 10)] {
        kit.script("/", manner.into());
        let mut stream = ask(&kit, "/").await.unwrap();
        let mut said = Vec::new();
        let ended =
            tokio::time::timeout(short, async { while stream.read_buf(&mut said).await.unwrap() > 0 {} })
                .await;
        assert!(ended.is_err(), "it goes on waiting");
        assert!(said.ends_with(&body[..bytes]) && said.is_empty() == (bytes == 0));
    }
    kit.script("/", Manner::Endless.into());
    let mut stream = ask(&kit, "/").await.unwrap();
    let mut lots = vec![0; 4 << 20];
    stream.read_exact(&mut lots).await.unwrap();
    kit.script("/", Manner::Slow(Duration::from_millis(50)).into());
    let mut stream = ask(&kit, "/").await.unwrap();
    let mut said = Vec::new();
    let _ =
        tokio::time::timeout(short, async { while stream.read_buf(&mut said).await.unwrap() > 0 {} }).await;
    let bytes = said.len() - said.windows(4).position(|four| four == b"\r\n\r\n").unwrap() - 4;
    assert!((1..=5).contains(&bytes), "{bytes} bytes in 150 ms");
}

#[tokio::test]
async fn each_identity_is_good_for_what_it_says() {
    for (identity, good) in [
        (Identity::Good, true),
        (Identity::Untrusted, false),
        (Identity::WrongName, false),
        (Identity::Expired, false),
        (Identity::Plain, false),
    ] {
        assert_eq!(connect(&Testkit::start_as(identity)).await.is_ok(), good, "{identity:?}");
    }
}

#[tokio::test]
async fn nobody_answers_at_a_closed_port_or_a_black_hole() {
    let refused = TcpStream::connect(closed_port()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let hole = BlackHole::open();
    let connecting = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(hole.address)).await;
    assert!(connecting.is_err(), "it goes on trying");
}
