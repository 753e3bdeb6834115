//! What becomes of a refusal and of a line that breaks: reason, retry, doubt, and the server's own words.

use std::time::Duration;

use latchkey::error::{Fault, Reason, Retry};
use latchkey::model::locator::local;
use latchkey::model::{Access, Locator};
use latchkey::store::{Proof, Store as _};

use super::{Bench, TOKEN, VALUE, get, put};
use crate::layers::source::top;
use crate::testkit::{Manner, Reply};

const ALIVE: &str = r#"{"data":{"id":"hvs.CANARY-token","ttl":60}}"#;
const DENIED: &str = r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;

fn all(fault: &Fault) -> (Reason, Retry, bool) {
    (fault.problem.reason, fault.retry, fault.doubtful)
}

#[tokio::test]
async fn every_status_means_something() {
    use Reason::{Forbidden, Invalid, NotFound, Throttled, Upstream};
    use Retry::{Backoff, Login, Never};
    let bench = Bench::start();
    let method = "; check method and path";
    let check = "; check the path; in a KV version 2 mount, `data/` follows the mount";
    let odd = "; check the address, and whether a proxy is in the way";
    // Of a GET, of a PUT, and whether its effect may have happened.
    for (status, reason, of_get, of_put, doubt, text) in [
        (400, Upstream, Never, Never, false, "the server refused the request (400): no".to_owned()),
        (401, Forbidden, Login, Login, false, "the server did not accept the token of the login (401): no".to_owned()),
        (404, NotFound, Never, Never, false, format!("there is nothing at this path (404): no{check}")),
        (405, Invalid, Never, Never, false, format!("the path does not take this method (405): no{method}")),
        (409, Upstream, Never, Never, false, "the server refused the request (409): no".to_owned()),
        (422, Upstream, Never, Never, false, "the server refused the request (422): no".to_owned()),
        (412, Upstream, Backoff, Backoff, false, "the server has not caught up with the active one (412): no; it does by itself; if this lasts, look at its replication".to_owned()),
        (429, Throttled, Backoff, Backoff, false, "the server asks for patience (429): no".to_owned()),
        (
            472,
            Upstream,
            Never,
            Never,
            false,
            "the server is a disaster recovery secondary, which serves no secrets (472): no; name the primary as the address"
                .to_owned(),
        ),
        (
            473,
            Upstream,
            Never,
            Never,
            false,
            "the server is a performance standby, and did not pass the request on (473): no; name the active server as the \
             address"
                .to_owned(),
        ),
        (500, Upstream, Backoff, Never, false, "the server failed (500): no".to_owned()),
        (501, Upstream, Never, Never, false, "the server is not initialized (501): no; initialize it".to_owned()),
        (502, Upstream, Backoff, Never, true, "what the server needs for it failed, or a proxy did (502): no".to_owned()),
        (
            503,
            Upstream,
            Backoff,
            Backoff,
            false,
            "the server does not serve now, as under maintenance (503): no; look at its state".to_owned(),
        ),
        (504, Upstream, Backoff, Never, true, "the server, or a proxy before it, waited too long (504): no".to_owned()),
        (507, Upstream, Backoff, Never, false, "the server failed (507): no".to_owned()),
        (304, Upstream, Never, Never, false, format!("the server answered with a status that it never has (304){odd}")),
    ] {
        let body = if status == 304 { "" } else { r#"{"errors":["no"],"data":"CANARY-value"}"# };
        for (locator, retry) in [(get("kv/x"), of_get), (put("kv/x", "{}"), of_put)] {
            bench.kit.script("/v1/", Reply::new(status, body));
            let fault = bench.read(locator).await.err().unwrap();
            assert_eq!(all(&fault), (reason, retry, doubt), "{status}");
            assert_eq!(bench.told(&fault), format!("at SITE: {text}"));
        }
    }
}

/// As the two servers put it: what is wrong, what to do, whether a GET and a PUT are tried again, and whether it is the
/// server itself that is ill, for everybody.
#[tokio::test]
async fn what_state_a_server_is_in_is_told_apart_by_its_own_words() {
    use Retry::{Backoff, Never};
    let bench = Bench::start();
    let standby = "the server is a standby, and there is no active one that it could pass the request to";
    let namespace = "the namespace is locked or sealed, and the server is not";
    for (status, said, text, of_get, of_put, ill) in [
        (503, "Vault is sealed", "the server is sealed", Backoff, Backoff, true),
        (503, "Vault is in standby mode", standby, Backoff, Backoff, true),
        (500, "local node not active but active cluster node not found", standby, Backoff, Backoff, true),
        (503, "Vault is not initialized", "the server is not initialized", Never, Never, true),
        (501, "", "the server is not initialized", Never, Never, true),
        (
            503,
            "in maintenance",
            "the server does not serve now, as under maintenance",
            Backoff,
            Backoff,
            true,
        ),
        (503, "", "the server is sealed, or under maintenance", Backoff, Backoff, true),
        (
            503,
            "API access to this namespace has been locked by an administrator",
            namespace,
            Backoff,
            Backoff,
            false,
        ),
        (472, "", "the server is a disaster recovery secondary, which serves no secrets", Never, Never, true),
        (473, "", "the server is a performance standby, and did not pass the request on", Never, Never, true),
        (
            412,
            "required index state not present",
            "the server has not caught up with the active one",
            Backoff,
            Backoff,
            false,
        ),
        (429, "lease count quota exceeded", "a quota of leases is used up", Never, Never, false),
        (429, "rate limit quota exceeded", "the server asks for patience", Backoff, Backoff, false),
        (500, "no connection to db:5432", "the server failed", Backoff, Never, false),
        (
            502,
            "no connection to db:5432",
            "what the server needs for it failed, or a proxy did",
            Backoff,
            Never,
            false,
        ),
        (400, "bad", "the server refused the request", Never, Never, false),
    ] {
        let body = serde_json::json!({ "errors": if said.is_empty() { vec![] } else { vec![said] } });
        for (locator, retry) in [(get("kv/x"), of_get), (put("kv/x", "{}"), of_put)] {
            bench.kit.script("/v1/", Reply::json(status, &body));
            let fault = bench.read(locator).await.err().unwrap();
            let told = bench.told(&fault);
            assert!(
                told.starts_with(&format!("at SITE: {text} ({status})")) && told.contains(said),
                "{told}"
            );
            assert_eq!((fault.retry, fault.answered), (retry, !ill), "{told}");
        }
    }
    // What stands before the server, or an answer of no use, says the same of everybody or of nobody.
    for (status, body, answered) in
        [(502, "<html>", false), (500, "", false), (200, "-----BEGIN", true), (403, "<html>", true)]
    {
        let fault = bench.answered(Reply::new(status, body)).await.err().unwrap();
        assert_eq!(fault.answered, answered, "{status} {body}");
    }
}

#[tokio::test]
async fn a_failure_that_is_not_the_servers_own_leaves_open_what_became_of_the_request() {
    let bench = Bench::start();
    // As a mesh's proxy says when it lost a request that it had passed on already.
    let lost =
        "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    for (status, body, doubt) in [
        (503, lost, true),
        (500, "<html>", true),
        (503, "", true),
        (503, r#"{"errors":["Vault is sealed"]}"#, false),
    ] {
        bench.kit.script("/v1/", Reply::new(status, body));
        let fault = bench.read(get("database/creds/web")).await.err().unwrap();
        assert_eq!(all(&fault), (Reason::Upstream, Retry::Backoff, doubt), "{status} {body}");
    }
}

#[tokio::test]
async fn the_page_has_the_reason_of_every_status() {
    let bench = Bench::start();
    let page = std::fs::read_to_string(top().join("docs/ERRORS.md")).unwrap();
    let section =
        page.split("## Vault and OpenBao").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let mut rows = 0;
    for row in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let Ok(status) = cells[1].parse() else { continue };
        rows += 1;
        bench.kit.route("*", move |_| Reply::new(status, "{}"));
        let login = bench.log_in().await.err().unwrap();
        let (get, put) = (
            bench.read(get("kv/x")).await.err().unwrap(),
            bench.read(put("kv/x", "{}")).await.err().unwrap(),
        );
        let reasons = [&login, &get, &put].map(|fault| fault.problem.reason.label());
        assert_eq!(reasons, [cells[2], cells[3], cells[3]], "{row}");
        let again = |fault: &Fault| fault.retry == Retry::Backoff;
        let wanted = (cells[4].starts_with("yes"), cells[4] == "yes" || cells[4].starts_with("yes, not"));
        assert_eq!((again(&get), again(&put)), wanted, "{row}");
        assert_eq!(again(&login), wanted.0, "{row}");
    }
    assert_eq!(rows, 15);
    bench.kit.script("/", Reply::new(403, r#"{"errors":["service account name not authorized"]}"#));
    let fault = bench.log_in().await.err().unwrap();
    let text = bench.told(&fault).replace("SITE", "https://vault.corp:8200");
    assert!(section.contains(&format!("\n    login: store `vault`, {text}\n")), "{text}");
}

#[tokio::test]
async fn what_is_another_stores_is_a_bug_and_reaches_nobody() {
    let bench = Bench::start();
    let path = local::EntryPath::parse("prod/db").unwrap();
    let theirs = Locator::Local(local::Locator { path, version: None });
    let ours = Access::Vault(bench.access.clone());
    let local = Access::Local(local::Access { store: bench.access.store.clone(), audience: None });
    let session = bench.session();
    let (read, stray) = (
        bench.store.fetch(&bench.cx, &session, &ours, &[theirs]).await,
        bench.store.fetch(&bench.cx, &session, &local, &[Locator::Vault(get("kv/x"))]).await,
    );
    let login = bench.store.authenticate(&bench.cx, &ours, Proof::Node).await;
    for fault in [read[0].as_ref().err(), stray[0].as_ref().err(), login.as_ref().err()] {
        let fault = fault.unwrap();
        assert_eq!((fault.problem.reason, fault.retry), (Reason::Bug, Retry::Never), "{}", bench.told(fault));
    }
    assert_eq!(bench.kit.connections(), 0);
}

#[tokio::test]
async fn how_long_to_wait_is_the_servers_word() {
    let bench = Bench::start();
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    for (status, header, retry) in [
        (429, "5", after(5)),
        (429, " 0 ", after(1)),
        (503, "30", after(30)),
        (429, "soon", Retry::Backoff),
        (429, "-1", Retry::Backoff),
        (429, "99999999999999", Retry::Backoff),
        (503, "Tue, 24 Nov 2026 12:00:00 GMT", Retry::Backoff),
        (500, "5", Retry::Backoff),
        (412, "5", Retry::Backoff),
    ] {
        let reply = Reply::new(status, "{}").header("retry-after", header);
        let fault = bench.answered(reply).await.err().unwrap();
        assert_eq!(fault.retry, retry, "{status} {header}");
    }
    let quota = Reply::new(429, r#"{"errors":["lease count quota exceeded"]}"#).header("retry-after", "1");
    let fault = bench.answered(quota).await.err().unwrap();
    assert_eq!(all(&fault), (Reason::Throttled, Retry::Never, false), "waiting frees no lease");
}

#[tokio::test]
async fn a_denial_is_the_policys_or_the_tokens_as_the_token_itself_says() {
    let bench = Bench::start();
    for (lookup, retry) in [
        (Reply::new(200, ALIVE), Retry::Never),
        (Reply::new(403, DENIED), Retry::Login),
        (Reply::new(401, "{}"), Retry::Login),
        (Reply::new(500, "{}"), Retry::Backoff),
        (Reply::from(Manner::ResetAtOnce), Retry::Backoff),
    ] {
        for locator in [get("kv/x"), put("kv/x", "{}")] {
            bench.kit.script("/v1/kv", Reply::new(403, DENIED));
            bench.kit.script("/v1/auth/token/lookup-self", lookup.clone());
            let fault = bench.read(locator).await.err().unwrap();
            assert_eq!(all(&fault), (Reason::Forbidden, retry, false), "{}", lookup.status);
            let text = "the server denied access (403): 1 error occurred: * permission denied";
            let remedy = "allow it in a policy of the role `web`";
            assert_eq!(bench.told(&fault), format!("at SITE: {text}; {remedy}"));
            assert_eq!(bench.kit.unasked(), 0);
            let log = bench.kit.take_log();
            assert_eq!((log.len(), &*log[1].method, log[1].body.len()), (2, "GET", 0));
            assert_eq!(log[1].header("x-vault-token"), Some(TOKEN));
        }
    }
}

#[tokio::test]
async fn a_version_that_is_gone_is_told_from_a_path_that_never_was() {
    let bench = Bench::start();
    let gone = |metadata: &str| format!(r#"{{"data":{{"data":null,"metadata":{metadata}}},"errors":null}}"#);
    let restore = "; restore it, or ask for another version";
    let nothing = "there is nothing at this path (404)";
    let check = "; check the path; in a KV version 2 mount, `data/` follows the mount";
    for (body, text) in [
        (
            gone(r#"{"deletion_time":"2026-11-24T09:09:54Z","destroyed":false,"version":1}"#),
            format!("this version was deleted (404){restore}"),
        ),
        (
            gone(r#"{"deletion_time":"2026-11-24T09:09:54Z","destroyed":true}"#),
            format!("this version was destroyed (404){restore}"),
        ),
        (gone(r#"{"deletion_time":"","destroyed":false}"#), format!("{nothing}{check}")),
        (r#"{"errors":[]}"#.to_owned(), format!("{nothing}{check}")),
        (r#"{"data":{"keys":[]}}"#.to_owned(), format!("{nothing}{check}")),
        (r#"{"data":null,"warnings":["use data/"]}"#.to_owned(), format!("{nothing}: use data/{check}")),
        (String::new(), format!("{nothing}{check}")),
    ] {
        let fault = bench.answered(Reply::new(404, body)).await.err().unwrap();
        assert_eq!(all(&fault), (Reason::NotFound, Retry::Never, false));
        assert_eq!(bench.told(&fault), format!("at SITE: {text}"));
    }
}

#[tokio::test]
async fn a_proxys_refusal_says_nothing_of_the_secret() {
    let bench = Bench::start();
    for status in [401, 403, 404, 405] {
        let fault = bench.answered(Reply::new(status, "<html>CANARY</html>")).await.err().unwrap();
        assert_eq!(fault.problem.reason, Reason::Upstream, "{status}");
        assert!(!fault.doubtful && bench.told(&fault).contains("is a proxy in the way?"), "{status}");
    }
}

#[tokio::test]
async fn the_words_of_the_server_come_through_and_nothing_else_of_its_reply() {
    let bench = Bench::start();
    for (body, wanted) in [
        (r#"{"errors":["first","second"],"warnings":["third"]}"#, ": first; second; third"),
        (r#"{"Errors":["any case"]}"#, ": any case"),
        (r#"{"errors":[5,null,{"a":"CANARY"},"kept"]}"#, ": kept"),
        (r#"{"errors":"CANARY"}"#, ""),
        (r#"{"errors":null,"data":{"value":"CANARY-value"}}"#, ""),
        (r#"{"errors":["token hvs.CANARY is bad"]}"#, ": token … is bad"),
        (r#"["CANARY"]"#, ", with a reply that is not its own: is a proxy in the way?"),
        (r#"{"errors":["CANARY"#, ", with a reply that is not its own: is a proxy in the way?"),
    ] {
        let fault = bench.answered(Reply::new(400, body)).await.err().unwrap();
        assert_eq!(bench.told(&fault), format!("at SITE: the server refused the request (400){wanted}"));
    }
    let many = serde_json::json!({ "errors": vec!["word"; 10_000] });
    let fault = bench.answered(Reply::json(400, &many)).await.err().unwrap();
    assert_eq!(fault.problem.what.matches("word").count(), 8);
}

#[tokio::test]
async fn the_same_failure_reads_the_same_each_time() {
    let bench = Bench::start();
    let mut texts = Vec::new();
    for id in ["7d2e3179-f69b-450c-7179-ac8ee8bd8ca9", "00000000-1111-2222-3333-444444444444"] {
        let body = format!(r#"{{"request_id":"{id}","errors":["request {id} failed"]}}"#);
        texts.push(bench.told(&bench.answered(Reply::new(500, body)).await.err().unwrap()));
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].contains("request … failed"));
}

#[tokio::test]
async fn a_line_that_breaks_is_no_answer() {
    let bench = Bench::start();
    let body = format!(r#"{{"data":{{"value":"{VALUE}"}}}}"#);
    for manner in [Manner::ResetAtOnce, Manner::Close, Manner::Truncated(body.len() - 2), Manner::Reset(10)] {
        for locator in [get("kv/x"), put("kv/x", "{}")] {
            bench.kit.script("/v1/", Reply::new(200, &*body).manner(manner.clone()));
            let fault = bench.read(locator).await.err().unwrap();
            assert!(
                matches!(fault.problem.reason, Reason::Unreachable | Reason::Upstream),
                "{manner:?}: {}",
                bench.told(&fault)
            );
            assert!(fault.doubtful && fault.retry != Retry::Never, "{manner:?}");
        }
        assert_eq!(bench.kit.unasked(), 0);
        let material = bench.answered(Reply::new(200, &*body)).await;
        assert!(material.is_ok(), "the next one goes through after {manner:?}");
    }
}
