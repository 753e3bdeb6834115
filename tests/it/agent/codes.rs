//! The walk over every code: each reason in the built binary, raised where a store meets the engine or before it; what
//! travels, what is counted, what is written, and that no pod ever starts with an empty volume.

use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::driver::Limit;
use latchkey::error::Reason;
use latchkey::proto::MountRequest;
use tonic::Code;

use crate::support::agent::{Agent, ask, faulty, files, pod, shipped};
use crate::support::contract::{
    Expect, INVALID, KUBELET, delivered, new_lines, nowhere, of, refusal, refused, send,
};
use crate::support::driver_like::{DriverLike, Outcome, Release};
use crate::support::faulty::CANARY as PANIC;
use crate::support::issuer::{Issuer, claims, holding, now, unsigned};

/// The contract, written down once more: a changed table is a changed promise.
const CODES: [(&str, Code); 14] = [
    ("invalid", Code::InvalidArgument),
    ("policy", Code::PermissionDenied),
    ("setup", Code::FailedPrecondition),
    ("expired", Code::Unauthenticated),
    ("login", Code::Unauthenticated),
    ("forbidden", Code::PermissionDenied),
    ("not_found", Code::NotFound),
    ("too_large", Code::FailedPrecondition),
    ("throttled", Code::Internal),
    ("unreachable", Code::Internal),
    ("timeout", Code::Internal),
    ("upstream", Code::Internal),
    ("busy", Code::Internal),
    ("bug", Code::Internal),
];

fn expect(reason: &str) -> Expect {
    let (reason, code) = CODES.into_iter().find(|(label, _)| *label == reason).unwrap();
    refusal(code, reason)
}

fn fault(path: &str) -> MountRequest {
    ask("app", &[("secrets", &format!("x: {{ store: local, path: fault/{path} }}\n"))])
}

#[tokio::test]
async fn every_reason_at_the_store_joint_becomes_its_code() {
    assert_eq!(CODES.map(|(label, _)| label), Reason::ALL.map(Reason::label));
    let agent = Agent::start(faulty());
    for (label, _) in CODES {
        let before = agent.audit().len();
        let text = refused(&agent, &fault(label), expect(label)).await;
        assert!(text.contains(&format!("secret `x` (local fault/{label})")), "{text}");
        let line = &new_lines(&agent, before, 2)[0];
        assert_eq!((&line["object"], &line["store"]), (&format!("fault/{label}").into(), &"local".into()));
    }
    assert!(agent.figure("latchkey_code_replaced_total") < 0.1, "no code had to be mended");
}

#[tokio::test]
async fn the_worst_of_several_reasons_decides_and_every_object_is_named() {
    let agent = Agent::start(faulty());
    let secrets: String = CODES
        .iter()
        .rev()
        .map(|(label, _)| format!("{label}: {{ store: local, path: fault/{label} }}\n"))
        .collect();
    let before = agent.audit().len();
    let Err(refusal) = send(&agent, &ask("app", &[("secrets", &secrets)]), KUBELET).await else {
        panic!("delivered")
    };
    assert_eq!(Code::from_i32(refusal.code), Code::InvalidArgument);
    assert!(refusal.text.starts_with("invalid (1 of 14 problems)"), "{}", refusal.text);
    let lines = new_lines(&agent, before, 14);
    for (at, (label, _)) in CODES.iter().enumerate() {
        assert!(refusal.text.contains(&format!("fault/{label}")), "{label}: {}", refusal.text);
        assert_eq!(lines[at]["reason"], **label, "by precedence");
    }
}

#[tokio::test]
async fn reasons_before_any_store_become_their_codes() {
    let mut agent = Agent::prepare(shipped());
    let rule = "{ namespaces: [web], serviceAccounts: [app], stores: [local], objects: [\"web/*\"] }";
    agent.configure(&format!("policy:\n  rules: [{rule}]\n"));
    agent.run();
    let asking = |secrets: &str| ask("app", &[("secrets", secrets)]);
    for (reason, request, words) in [
        ("invalid", asking("x: { store: local, pth: web/token }\n"), "did you mean `path`"),
        ("invalid", asking(""), "asks for no objects"),
        ("policy", asking("x: { store: local, path: prod/x }\n"), "policy.rules"),
        ("setup", asking("x: { store: nowhere, path: a }\n"), "no store `nowhere`"),
        ("not_found", asking("x: { store: local, path: web/tken }\n"), "did you mean `web/token`"),
        ("not_found", asking("x: { store: local, path: web/none, optional: true }\n"), "no file is left"),
        ("forbidden", asking("x: { store: local, path: web/one }\n"), "not among the readers"),
    ] {
        let text = refused(&agent, &request, expect(reason)).await;
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn reasons_of_the_token_become_their_codes() {
    let mut agent = Agent::prepare(shipped());
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    issuer.trusted_by(&agent, "");
    agent.run();
    let asked = "token: { store: local, path: web/token }\n";
    let holder = |token: &str| holding("app", "latchkey", token);
    // Else nothing below is shown.
    delivered(&agent, &of(&holder(&issuer.sign(&claims("app"))), asked), 1).await;
    let forged = stranger.sign(&claims("app"));
    let other = issuer.sign(&claims("other"));
    let mut past = claims("app");
    past["exp"] = (now() - 100).into();
    for (reason, pod, words) in [
        ("setup", pod("app"), "tokenRequests lack audience `latchkey`"),
        ("setup", holder(&other), "service account `other`"),
        ("expired", holder(&issuer.sign(&past)), "has expired"),
        ("login", holder(&forged), "do not vouch"),
        ("login", holder(&unsigned(&claims("app"))), "do not vouch"),
    ] {
        let text = refused(&agent, &of(&pod, asked), expect(reason)).await;
        assert!(text.contains(words), "{text}");
    }
    nowhere(&agent, &forged);
    nowhere(&agent, &other);
}

#[tokio::test]
async fn l_18_an_answer_just_below_the_limit_passes_and_one_above_names_the_flag() {
    let agent = Agent::start(faulty());
    let limit = (4 << 20) - (64 << 10);
    let mut driver = agent.client().limit(Limit::Driver);
    let mounted = driver.mount(fault(&format!("size-{}", limit - 100)), KUBELET).await.unwrap();
    assert_eq!(mounted.files[0].2.len(), limit - 100);
    assert!(mounted.files[0].2.iter().all(|byte| *byte == b'x'));
    for bytes in [limit, (4 << 20) + 1, 32 << 20] {
        let text =
            refused(&agent, &fault(&format!("size-{bytes}")), Expect { lines: 1, ..expect("too_large") })
                .await;
        assert!(text.contains("`--max-call-recv-msg-size`"), "{text}");
        assert!(text.contains(&bytes.to_string()), "and how large it is: {text}");
    }
}

#[tokio::test]
async fn p_19_a_mebibyte_of_any_bytes_passes_and_four_of_them_are_too_many() {
    let agent = Agent::start(shipped());
    let keeper = agent.keeper();
    let bytes: Vec<u8> = (0..1u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    assert!(bytes.contains(&0) && std::str::from_utf8(&bytes).is_err());
    for name in ["a", "b", "c", "d"] {
        use latchkey::app::local::{Content, EntryPath, Reader, Readers};
        let readers = Readers { clear: true, add: vec![Reader::parse("web/*").unwrap()] };
        let path = EntryPath::parse(&format!("web/{name}")).unwrap();
        keeper.set(&path, &readers, Some(Content::Value(bytes.clone().into()))).unwrap();
    }
    let class = |names: &[&str]| -> MountRequest {
        let secrets: String =
            names.iter().map(|name| format!("{name}: {{ store: local, path: web/{name} }}\n")).collect();
        ask("app", &[("secrets", &secrets)])
    };
    let mut driver = agent.client().limit(Limit::Driver);
    let mounted = driver.mount(class(&["a", "b", "c"]), KUBELET).await.unwrap();
    for (path, (_, contents)) in files(&mounted) {
        assert!(contents[..] == bytes[..], "{path} is byte for byte the same");
    }
    let text = refused(&agent, &class(&["a", "b", "c", "d"]), expect("too_large")).await;
    assert!(text.contains("`--max-call-recv-msg-size`") && text.contains("split the class"), "{text}");
}

#[tokio::test]
async fn f_49_a_panic_is_one_mounts_failure_and_its_message_goes_nowhere() {
    let agent = Agent::start(faulty());
    let text = refused(&agent, &fault("panic"), expect("bug")).await;
    assert!(!text.contains(PANIC), "{text}");
    assert!((agent.figure("latchkey_panics_total") - 2.0).abs() < 0.1);
    let next = ask("app", &[("secrets", "token: { store: local, path: web/token }\n")]);
    assert!(send(&agent, &next, KUBELET).await.is_ok(), "nobody else is harmed");
    nowhere(&agent, PANIC);
    assert!(agent.log().contains("faulty.rs"), "the log names the place");
}

#[tokio::test]
async fn a_store_that_answers_too_few_objects_is_a_bug() {
    let agent = Agent::start(faulty());
    let text = refused(&agent, &fault("short"), expect("bug")).await;
    assert!(text.contains("store `local`"), "{text}");
}

#[tokio::test]
async fn no_failure_ever_starts_a_pod_with_an_empty_volume() {
    let agent = Agent::start(faulty());
    let large = |bytes: usize| ask("app", &[("secrets", &"x".repeat(bytes))]);
    let mut requests: Vec<(String, MountRequest)> =
        CODES.iter().map(|(label, _)| ((*label).to_owned(), fault(label))).collect();
    requests.extend(["panic", "short", "size-5000000"].map(|path| (path.to_owned(), fault(path))));
    requests.push(("5 MiB".to_owned(), large(5 << 20)));
    requests.push(("64 MiB".to_owned(), large(64 << 20)));
    requests.push(("nonsense".to_owned(), MountRequest { attributes: "{".into(), ..fault("bug") }));
    for (name, request) in requests {
        let rotating = Release::V16 { poll: Some(Duration::from_secs(120)) };
        let mut driver =
            DriverLike::new(&agent.socket(), Clock::system(), rotating, move |_| request.clone());
        // A code that kubelet takes for "perhaps done" would make the second publish succeed with nothing mounted.
        for attempt in ["first", "second"] {
            let outcome = driver.publish().await;
            assert!(matches!(outcome, Outcome::Failed(_)), "{name}, {attempt} publish: {outcome:?}");
            assert_eq!(driver.sees(), None, "{name}: the container waits");
        }
    }
}

#[tokio::test]
async fn what_is_no_mount_request_is_refused_with_a_final_code_too() {
    let agent = Agent::start(shipped());
    let before = agent.audit().len();
    let status = raw_mount(&agent, &[0, 0, 0, 0, 4, 0x0a, 0xff, 0xff, 0xff]).await;
    assert_eq!(status, Code::InvalidArgument, "bytes that do not decode");
    let status = raw_mount(&agent, &[1, 0, 0, 0, 1, 0]).await;
    assert_eq!(status, INVALID.code, "a compressed message");
    for line in new_lines(&agent, before, 2) {
        assert_eq!((&line["reason"], &line["object"]), (&"invalid".into(), &serde_json::Value::Null));
    }
}

/// The `grpc-status` that a body of these bytes gets.
async fn raw_mount(agent: &Agent, body: &'static [u8]) -> Code {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = tokio::net::UnixStream::connect(agent.socket()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::task::spawn(connection);
    let request = http::Request::post("http://localhost/v1alpha1.CSIDriverProvider/Mount")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "gzip")
        .body(tonic::body::Body::new(Whole(Some(body.into()))))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.headers().get("grpc-status").expect("a status, at once").clone();
    drop(sender);
    connection.abort();
    Code::from_bytes(status.as_bytes())
}

struct Whole(Option<bytes::Bytes>);

impl http_body::Body for Whole {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}
