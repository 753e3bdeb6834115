//! The client against a provider on a real socket, and the question who answers there.

use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::driver::{Answer, Client, Flavour, Limit, Pod, Refusal, ask, request};
use latchkey::proto::{Error, File, MountRequest, MountResponse, ObjectVersion};
use tonic::Code;

use crate::support::provider::{Provider, Reply};

const SOON: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

fn envelope() -> MountRequest {
    request("c", &std::collections::BTreeMap::new(), &Pod::default(), &Flavour::Driver16)
}

async fn refused(reply: Reply) -> Refusal {
    let provider = Provider::start("p", reply);
    let mut client = Client::connect(provider.path(), Clock::system()).await.unwrap();
    client.mount(envelope(), None).await.err().unwrap()
}

#[tokio::test]
async fn files_and_versions_arrive_as_they_were_sent() {
    let files = vec![("b", 0o400, vec![0, 159, 146, 150]), ("a/c", -1, Vec::new())];
    let provider = Provider::start("p", Reply::Files(files));
    let mut client = Client::connect(provider.path(), Clock::system()).await.unwrap();
    let mounted = client.mount(envelope(), None).await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let files: Vec<_> = mounted.files.iter().map(|(p, m, c)| (p.as_str(), *m, c.as_ref())).collect();
    assert_eq!(files, [("b", 0o400, &[0u8, 159, 146, 150][..]), ("a/c", u32::MAX, &[][..])]);
    assert_eq!(mounted.versions, [("b".into(), "v1".into()), ("a/c".into(), "v1".into())]);
}

#[tokio::test]
async fn a_status_arrives_whole_and_is_the_one_on_the_wire() {
    let refusal = refused(Reply::Status(Code::PermissionDenied, "line one\nline two é")).await;
    assert_eq!(refusal, Refusal { code: 7, text: "line one\nline two é".into(), wire: Some(7) });
    assert_eq!(refusal.name(), "PermissionDenied");
    let event = refusal.event("s", "web", "p-1");
    let expected = "MountVolume.SetUp failed for volume \"s\" : rpc error: code = PermissionDenied desc = failed to \
         mount secrets store objects for pod web/p-1, err: rpc error: code = PermissionDenied desc = line one\nline two é";
    assert_eq!(event, expected);
}

#[tokio::test]
async fn an_error_code_hides_the_files_and_becomes_unknown() {
    let raw = MountResponse {
        object_version: vec![ObjectVersion { id: "a".into(), version: "1".into() }],
        error: Some(Error { code: "Nope".into() }),
        files: Vec::new(),
    };
    let refusal = refused(Reply::Raw(raw)).await;
    assert_eq!((refusal.code, refusal.wire), (2, Some(0)));
    assert!(refusal.text.ends_with("provider error code Nope"), "{}", refusal.text);
    assert!(
        refusal
            .event("s", "n", "p")
            .ends_with("pod n/p, err: mount request failed with provider error code Nope")
    );
}

#[tokio::test]
async fn an_answer_without_versions_is_a_failure() {
    let raw = MountResponse {
        object_version: Vec::new(),
        error: None,
        files: vec![File { path: "a".into(), mode: 0o644, contents: "x".into() }],
    };
    assert_eq!(refused(Reply::Raw(raw)).await.text, "missing object versions");
}

#[tokio::test]
async fn an_answer_over_4_mib_is_exhausted_on_this_side_unless_any_size_is_taken() {
    let big = Reply::Files(vec![("a", 0o644, vec![7; 4 << 20])]);
    let refusal = refused(big.clone()).await;
    assert_eq!((refusal.name(), refusal.wire), ("ResourceExhausted", Some(0)));
    let provider = Provider::start("p", big);
    let mut client = Client::new(provider.path(), Clock::system()).limit(Limit::None);
    assert!(client.mount(envelope(), None).await.is_ok());
}

#[tokio::test]
async fn the_timeout_is_told_as_grpc_go_spells_it() {
    let provider = Provider::start("p", Reply::Files(vec![("a", 0o644, Vec::new())]));
    let mut client = Client::connect(provider.path(), Clock::system()).await.unwrap();
    for timeout in [Some(Duration::from_secs(120)), None] {
        assert!(client.mount(envelope(), timeout).await.is_ok());
    }
    let seen: Vec<_> = provider.seen().into_iter().map(|seen| seen.grpc_timeout).collect();
    assert_eq!(seen, [Some("120000m".to_owned()), None]);
}

#[tokio::test(start_paused = true)]
async fn the_client_itself_never_ends_a_mount() {
    // A listener that takes the connection and never says a word, so that no server's timer can answer.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mute.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let clock = Clock::paused(latchkey::clock::Wall::from_seconds(0));
    let mut client = Client::connect(&path, clock).await.unwrap();
    let call = client.mount(envelope(), Some(Duration::from_millis(1)));
    assert!(clock.until(clock.now() + Duration::from_secs(3600), call).await.is_none());
}

#[test]
fn a_client_connects_again_when_its_provider_comes_back() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let worker =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let start = |runtime: &tokio::runtime::Runtime, name| {
        let _inside = runtime.enter();
        Provider::start("p", Reply::Files(vec![(name, 0o644, Vec::new())]))
    };
    let (first_run, second_run, ours) = (worker(), worker(), runtime());
    let (first, second) = (start(&first_run, "a"), start(&second_run, "b"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moved.sock");
    std::os::unix::fs::symlink(first.path(), &path).unwrap();
    let mut client = ours.block_on(Client::connect(&path, Clock::system())).unwrap();
    assert!(ours.block_on(client.mount(envelope(), None)).is_ok());
    // Its connections end with the runtime that drives them.
    drop(first_run);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(second.path(), &path).unwrap();
    ours.block_on(Clock::system().sleep(Duration::from_millis(50)));
    let mounted = ours.block_on(client.mount(envelope(), None));
    assert_eq!(mounted.unwrap_or_else(|refusal| panic!("{refusal:?}")).files[0].0, "b");
    drop(second_run);
    let broken = ours.block_on(client.mount(envelope(), None)).err().unwrap();
    assert_eq!((broken.name(), broken.wire), ("Unavailable", None));
}

#[tokio::test]
async fn a_socket_is_latchkeys_or_anothers_by_the_name_it_gives() {
    let ours = Provider::start("latchkey", Reply::Status(Code::Internal, ""));
    let Answer::Latchkey(version) = ask(ours.path(), LONG, Clock::system()).await else {
        panic!("not recognised");
    };
    assert_eq!((version.version.as_str(), version.runtime_version.as_str()), ("v1alpha1", "1.2.3"));
    let other = Provider::start("vault\u{202e}\n", Reply::Hang);
    other.reply(Reply::Status(Code::Internal, ""));
    let answer = ask(other.path(), LONG, Clock::system()).await;
    assert_eq!(answer, Answer::Other("vault\\u{202e}\\n".into()));
}

#[tokio::test]
async fn only_a_refused_connection_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    assert_eq!(ask(&path, LONG, Clock::system()).await, Answer::Absent);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(ask(&path, SOON, Clock::system()).await, Answer::Silent);
    drop(listener);
    assert_eq!(ask(&path, LONG, Clock::system()).await, Answer::Refused);
    let hanging = Provider::start("latchkey", Reply::Hang);
    assert_eq!(ask(hanging.path(), SOON, Clock::system()).await, Answer::Silent);
}

#[tokio::test]
async fn who_speaks_another_language_is_somebody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http1.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answers = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    assert_eq!(ask(&path, LONG, Clock::system()).await, Answer::Other(String::new()));
    answers.join().unwrap();
}
