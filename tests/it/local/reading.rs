//! What a service account gets of an entry, and what it does not.

use latchkey::app::local::{Content, Readers};
use latchkey::error::Reason;
use latchkey::model::{Kind, Publish};
use latchkey::store::{Proof, Scope, Store as _};

use super::{Bench, access, adding, entry, fields, newest, pinned, refused, subject, whole};

#[tokio::test]
async fn a_reader_gets_the_newest_version_or_the_one_it_names() {
    let bench = Bench::new();
    bench.set("prod/db", &["web/app"], b"first");
    bench.set("prod/db", &[], b"second\n\0");
    let wanted = [newest("prod/db"), pinned("prod/db", 1), pinned("prod/db", 2)];
    let answers = bench.fetch(&subject("web", "app"), &wanted).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let bodies: Vec<_> = answers.iter().map(whole).collect();
    assert_eq!(bodies, [&b"second\n\0"[..], b"first", b"second\n\0"]);
    let versions: Vec<_> = answers.iter().map(|answer| answer.parts[0].version.clone().unwrap()).collect();
    assert_eq!(versions, ["2", "1", "2"]);
    let kinds: Vec<_> = answers.iter().map(|answer| &answer.kind).collect();
    assert!(matches!(kinds[..], [Kind::Static, Kind::Pinned, Kind::Pinned]), "{kinds:?}");
    assert!(answers.iter().all(|answer| answer.parts.len() == 1 && answer.parts[0].fields.is_empty()));
}

#[tokio::test]
async fn fields_come_one_by_one_and_as_a_compact_sorted_object() {
    let bench = Bench::new();
    let content = fields(&[("user", b"b\"o\nb"), ("pass.word", "grüße".as_bytes()), ("empty", b"")]);
    bench.keeper.set(&entry("db"), &adding(&["web/*"]), Some(content)).unwrap();
    let [answer] = <[_; 1]>::try_from(bench.fetch(&subject("web", "x"), &[newest("db")]).await).ok().unwrap();
    let answer = answer.unwrap();
    let part = &answer.parts[0];
    assert_eq!(part.body.expose(), r#"{"empty":"","pass.word":"grüße","user":"b\"o\nb"}"#.as_bytes());
    assert_eq!(part.fields["user"].expose(), b"b\"o\nb");
    assert_eq!(part.fields.keys().collect::<Vec<_>>(), ["empty", "pass.word", "user"]);
}

#[tokio::test]
async fn an_entry_without_readers_is_readable_by_nobody() {
    let bench = Bench::new();
    bench.set("prod/db", &[], b"v");
    let problem = refused(bench.read(&subject("web", "app"), "prod/db").await);
    assert_eq!(problem.reason, Reason::Forbidden);
    assert!(problem.remedy.contains("`latchkey local set prod/db --reader web/app`"), "{problem}");
}

#[tokio::test]
async fn readers_match_by_name_by_trailing_star_and_never_by_part() {
    type Accounts = &'static [(&'static str, &'static str)];
    let cases: [(&str, Accounts, Accounts); 5] = [
        ("web/app", &[("web", "app")], &[("web", "app2"), ("web2", "app"), ("we", "app")]),
        ("web/*", &[("web", "app"), ("web", "x")], &[("web2", "app")]),
        (
            "team-*/app",
            &[("team-a", "app"), ("team-", "app")],
            &[("team", "app"), ("a-team-a", "app"), ("team-a", "b")],
        ),
        ("*/app", &[("a", "app"), ("b", "app")], &[("a", "b")]),
        ("*/*", &[("a", "b")], &[]),
    ];
    let bench = Bench::new();
    for (reader, may, may_not) in cases {
        let only = Readers { clear: true, ..adding(&[reader]) };
        let content = Content::Value(zeroize::Zeroizing::new(b"v".to_vec()));
        bench.keeper.set(&entry("e"), &only, Some(content)).unwrap();
        for (namespace, account) in may {
            assert!(
                bench.read(&subject(namespace, account), "e").await.is_ok(),
                "{reader} {namespace}/{account}"
            );
        }
        for (namespace, account) in may_not {
            let problem = refused(bench.read(&subject(namespace, account), "e").await);
            assert_eq!(problem.reason, Reason::Forbidden, "{reader} {namespace}/{account}");
        }
    }
}

#[tokio::test]
async fn an_absent_entry_names_a_near_one_only_to_who_may_read_it() {
    let bench = Bench::new();
    bench.set("prod/database", &["web/app"], b"v");
    let problem = refused(bench.read(&subject("web", "app"), "prod/databse").await);
    assert_eq!((problem.reason, &*problem.remedy), (Reason::NotFound, "did you mean `prod/database`?"));
    let problem = refused(bench.read(&subject("shop", "app"), "prod/databse").await);
    assert_eq!(problem.reason, Reason::NotFound);
    assert!(!problem.to_string().contains("prod/database`"), "{problem}");
}

#[tokio::test]
async fn an_absent_version_names_those_that_there_are_but_not_to_strangers() {
    let bench = Bench::new();
    bench.set("e", &["web/app"], b"1");
    bench.set("e", &[], b"2");
    let answers = bench.fetch(&subject("web", "app"), &[pinned("e", 9)]).await;
    let problem = refused(answers.into_iter().next().unwrap());
    assert_eq!((problem.reason, &*problem.remedy), (Reason::NotFound, "it has 1, 2"));
    let answers = bench.fetch(&subject("web", "other"), &[pinned("e", 9)]).await;
    assert_eq!(refused(answers.into_iter().next().unwrap()).reason, Reason::Forbidden);
}

#[tokio::test]
async fn answers_stand_in_the_order_asked_and_one_failure_spares_the_others() {
    let bench = Bench::new();
    bench.set("a", &["web/app"], b"A");
    bench.set("b", &["web/app"], b"B");
    let answers = bench.fetch(&subject("web", "app"), &[newest("b"), newest("none"), newest("a")]).await;
    let bodies: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(whole)).collect();
    assert_eq!(bodies, [Some(b"B".to_vec()), None, Some(b"A".to_vec())]);
}

#[tokio::test]
async fn a_session_is_an_accounts_and_says_so() {
    let bench = Bench::new();
    assert_eq!(bench.local.scope(&access()), Scope::Account);
    let one = bench.session(&subject("web", "app")).await.unwrap();
    let same = bench.session(&subject("web", "app")).await.unwrap();
    assert_eq!(one.authority, same.authority);
    assert!(one.life.until.is_none());
    // Two names that read the same when they are joined.
    let (a, b) = (subject("a-b", "c"), subject("a", "b-c"));
    assert_ne!(bench.session(&a).await.unwrap().authority, bench.session(&b).await.unwrap().authority);
}

#[tokio::test]
async fn a_proof_that_is_not_of_a_service_account_is_refused() {
    let bench = Bench::new();
    let publish = Proof::Publish(Box::leak(Box::new(no_publish())));
    for proof in [Proof::Node, publish] {
        let fault = bench.local.authenticate(&bench.cx, &access(), proof).await.err().unwrap();
        assert_eq!(fault.problem.reason, Reason::Bug);
    }
}

fn no_publish() -> Publish {
    let envelope = latchkey::model::Envelope {
        attributes:
            r#"{"csi.storage.k8s.io/pod.namespace":"web","csi.storage.k8s.io/serviceAccount.name":"app"}"#
                .into(),
        secrets: r#"{"k":"v"}"#.into(),
        target_path: "/t".into(),
        permission: "420".into(),
    };
    latchkey::model::Call::parse(&envelope).ok().unwrap().publish.unwrap()
}
