//! The clauses.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use latchkey::error::{Reason, Retry};
use latchkey::store::{Cx, Revoke};

use super::{Backend, CANARY, Who, cx, fetch, fields, log_in, session};

pub(crate) async fn an_allowed_identity_reads_exact_bytes(bed: &impl Backend) {
    let large = "x".repeat(1 << 20);
    let values = [
        ("empty", ""),
        ("line", "ends with a line\n"),
        ("nul", "a\0b\0"),
        ("quoted", "\"\\/\u{8}\u{c}\n\r\t{}[]\u{7f}\u{2028}"),
        ("utf-8", "Grüße, 鍵, 🔑, \u{feff}"),
        ("with.dot and space", "named so"),
    ];
    bed.put("app/exact", &values).await;
    bed.put("app/large", &[("value", &large)]).await;
    let (identity, session) = session(bed, Who::App).await;
    let mut expected = values.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    expected.sort();
    assert_eq!(fields(bed, &identity, &session, "app/exact").await, expected);
    let read = fields(bed, &identity, &session, "app/large").await;
    assert!(read == [("value".to_owned(), large.into_bytes())], "a mebibyte is cut or changed");
}

pub(crate) async fn what_is_absent_is_not_found(bed: &impl Backend) {
    bed.put("app/present", &[("value", CANARY)]).await;
    let (identity, session) = session(bed, Who::App).await;
    for path in ["app/absent", "app/present/below", "app/presen"] {
        let fault = fetch(bed, &identity, &session, &[path]).await.remove(0).err().expect("nothing is there");
        assert_eq!(
            (fault.problem.reason, fault.retry),
            (Reason::NotFound, Retry::Never),
            "{}",
            fault.problem
        );
    }
}

pub(crate) async fn what_is_denied_is_forbidden(bed: &impl Backend) {
    bed.put("app/denied", &[("value", CANARY)]).await;
    bed.put("other/denied", &[("value", CANARY)]).await;
    for (who, own, others) in
        [(Who::Other, "other/denied", "app/denied"), (Who::App, "app/denied", "other/denied")]
    {
        let (identity, session) = session(bed, who).await;
        let fault = fetch(bed, &identity, &session, &[others]).await.remove(0).err().expect("it is denied");
        assert_eq!(
            (fault.problem.reason, fault.retry),
            (Reason::Forbidden, Retry::Never),
            "{}",
            fault.problem
        );
        assert!(!fault.doubtful, "what is refused had no effect");
        // The session is as good as before.
        assert_eq!(fields(bed, &identity, &session, own).await.len(), 1);
    }
}

pub(crate) async fn answers_stand_in_the_order_of_the_questions(bed: &impl Backend) {
    for name in ["a", "b", "c"] {
        bed.put(&format!("app/order-{name}"), &[("value", name)]).await;
    }
    bed.put("other/order", &[("value", CANARY)]).await;
    let (identity, session) = session(bed, Who::App).await;
    let wanted =
        ["app/order-b", "app/order-none", "app/order-c", "other/order", "app/order-a", "app/order-b"];
    let answers = fetch(bed, &identity, &session, &wanted).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(material) => String::from_utf8(material.parts[0].fields["value"].expose().to_vec()).unwrap(),
            Err(fault) => fault.problem.reason.to_string(),
        })
        .collect();
    assert_eq!(told, ["b", "not_found", "c", "forbidden", "a", "b"]);
    assert!(fetch(bed, &identity, &session, &[]).await.is_empty());
}

pub(crate) async fn a_version_changes_when_the_content_does(bed: &impl Backend) {
    let mut seen = BTreeSet::new();
    let (identity, session) = session(bed, Who::App).await;
    for content in ["first", "second", "first"] {
        bed.put("app/versions", &[("value", content)]).await;
        for _ in 0..2 {
            let material = fetch(bed, &identity, &session, &["app/versions"]).await.remove(0).ok().unwrap();
            let part = &material.parts[0];
            assert!(material.kind.shared(), "a plain value may be kept and shared");
            assert_eq!(part.fields["value"].expose(), content.as_bytes(), "the store keeps nothing");
            if let Some(version) = &part.version {
                seen.insert((version.clone(), content));
            }
        }
    }
    let versions: BTreeSet<&str> = seen.iter().map(|(version, _)| version.as_str()).collect();
    assert_eq!(versions.len(), seen.len(), "one version, two contents: {seen:?}");
}

pub(crate) async fn an_authority_is_one_identitys(bed: &impl Backend) {
    let mut all = Vec::new();
    for who in [Who::App, Who::AppToo, Who::Other] {
        let (identity, first) = session(bed, who).await;
        let (_, again) = session(bed, who).await;
        assert_eq!(first.authority, again.authority, "{}", who.account());
        assert_eq!(bed.store().scope(&identity.access), bed.store().scope(&bed.identity(who).access));
        assert!(first.life.until.is_none_or(|end| end > first.life.from), "it lives");
        all.push(first.authority);
    }
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "two identities, one authority");
}

pub(crate) async fn a_wrong_proof_opens_nothing(bed: &impl Backend) {
    let identity = bed.identity(Who::Nobody);
    let fault = log_in(bed, &cx(), &identity).await.err().expect("a forged token is refused");
    assert!(matches!(fault.problem.reason, Reason::Login | Reason::Setup), "{}", fault.problem);
    assert_eq!(fault.retry, Retry::Never, "{}", fault.problem);
}

pub(crate) async fn a_failure_has_the_same_words_each_time(bed: &impl Backend) {
    bed.put("app/words", &[("value", CANARY)]).await;
    let mut told = BTreeSet::new();
    for _ in 0..3 {
        let fault = log_in(bed, &cx(), &bed.identity(Who::Nobody)).await.err().expect("refused");
        let mut texts = vec![fault.problem.to_string()];
        for (who, path) in [(Who::App, "app/words-absent"), (Who::Other, "app/words")] {
            let (identity, session) = session(bed, who).await;
            let fault = fetch(bed, &identity, &session, &[path]).await.remove(0).err().expect("refused");
            texts.push(fault.problem.to_string());
        }
        told.insert(texts);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
}

pub(crate) async fn many_at_once_are_not_mixed(bed: &impl Backend) {
    let paths: Vec<(String, String)> =
        (0..16).map(|number| (format!("app/many-{number}"), format!("value {number}"))).collect();
    for (path, value) in &paths {
        bed.put(path, &[("value", value)]).await;
    }
    let (identity, session) = session(bed, Who::App).await;
    let answers = join_all(paths.iter().map(|(path, _)| fields(bed, &identity, &session, path))).await;
    for ((_, value), answer) in paths.iter().zip(answers) {
        assert_eq!(answer, [("value".to_owned(), value.as_bytes().to_vec())]);
    }
}

pub(crate) async fn a_deadline_that_has_passed_is_answered_at_once(bed: &impl Backend) {
    bed.put("app/late", &[("value", CANARY)]).await;
    let (identity, session) = session(bed, Who::App).await;
    let late = Cx { deadline: cx().clock.now(), ..cx() };
    let start = Instant::now();
    if let Err(fault) = log_in(bed, &late, &identity).await {
        assert_eq!(fault.problem.reason, Reason::Timeout, "{}", fault.problem);
    }
    let wanted = [bed.locator("app/late"), bed.locator("app/none")];
    let answers = bed.store().fetch(&late, &session, &identity.access, &wanted).await;
    assert_eq!(answers.len(), 2);
    // A store that asks nobody may answer all the same.
    for fault in answers.into_iter().filter_map(Result::err) {
        assert!(matches!(fault.problem.reason, Reason::Timeout | Reason::NotFound), "{}", fault.problem);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

pub(crate) async fn a_future_that_is_dropped_leaves_the_store_usable(bed: &impl Backend) {
    bed.put("app/dropped", &[("value", "there")]).await;
    let (identity, good) = session(bed, Who::App).await;
    for polls in 1..4 {
        begin(log_in(bed, &cx(), &identity), polls).await;
        begin(fetch(bed, &identity, &good, &["app/dropped"; 8]), polls).await;
    }
    for micros in [100, 1_000, 3_000] {
        let brief = Duration::from_micros(micros);
        let _ = tokio::time::timeout(brief, log_in(bed, &cx(), &identity)).await;
        let _ = tokio::time::timeout(brief, fetch(bed, &identity, &good, &["app/dropped"; 8])).await;
    }
    assert_eq!(fields(bed, &identity, &good, "app/dropped").await[0].1, b"there");
    let (_, anew) = session(bed, Who::App).await;
    assert_eq!(fields(bed, &identity, &anew, "app/dropped").await[0].1, b"there");
}

/// Polls a future so many times, and drops it.
async fn begin(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ready {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn nouns_of_another_store_are_refused(bed: &impl Backend) {
    bed.put("app/ours", &[("value", "ours")]).await;
    let (identity, session) = session(bed, Who::App).await;
    let wanted = [bed.foreign(), bed.locator("app/ours")];
    let answers = bed.store().fetch(&cx(), &session, &identity.access, &wanted).await;
    let reasons: Vec<_> =
        answers.into_iter().map(|answer| answer.err().map(|fault| fault.problem.reason)).collect();
    assert_eq!(reasons, [Some(Reason::Bug), None]);
}

pub(crate) async fn the_manners_are_sane(bed: &impl Backend) {
    let manners = bed.store().manners();
    assert!(manners.batch >= 1, "a store that takes no object is none");
    assert!(manners.fresh <= Duration::from_secs(3600), "{:?} is no freshness", manners.fresh);
}

/// For stores whose sessions can be ended.
pub(crate) async fn an_ended_session_asks_for_another_login(bed: &impl Backend) {
    bed.put("app/ended", &[("value", CANARY)]).await;
    let (identity, ended) = session(bed, Who::App).await;
    let revoked = bed.store().revoke(&cx(), &ended, &identity.access, Revoke::Session).await;
    revoked.map_err(|fault| fault.problem.to_string()).expect("it is ended");
    let fault = fetch(bed, &identity, &ended, &["app/ended"]).await.remove(0).err().expect("it is over");
    assert_eq!(fault.retry, Retry::Login, "{}", fault.problem);
    assert!(!fault.doubtful, "a refusal has no effect");
    let (_, anew) = session(bed, Who::App).await;
    assert_eq!(fields(bed, &identity, &anew, "app/ended").await.len(), 1);
}
