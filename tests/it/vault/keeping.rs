//! Renewing and ending what was issued.

use std::time::Duration;

use latchkey::error::{Fault, Reason, Retry};
use latchkey::model::{Access, Grant, Lease, LeaseId};
use latchkey::store::{Renew, Revoke, Store as _};

use super::{Bench, TOKEN, secret};
use crate::testkit::{Manner, Reply};

const ID: &str = "database/creds/web/CANARY\"1";
const LEASE: &str = r#"{"lease_id":"database/creds/web/CANARY\"1","lease_duration":120,"renewable":true}"#;
const AUTH: &str = r#"{"auth":{"client_token":"hvs.CANARY","lease_duration":60,"renewable":false}}"#;

impl Bench {
    fn lease(&self) -> Lease {
        let (id, granted) = (LeaseId(secret(ID)), Duration::from_secs(3600));
        Lease { id, granted, renewable: true, issued: self.cx.clock.now() }
    }

    async fn renew(&self, lease: bool) -> Result<Grant, Fault> {
        let (access, held) = (Access::Vault(self.access.clone()), self.lease());
        let what = if lease { Renew::Lease(&held) } else { Renew::Session };
        self.store.renew(&self.cx, &self.session(), &access, what).await
    }

    async fn revoke(&self, lease: bool) -> Result<(), Fault> {
        let (access, held) = (Access::Vault(self.access.clone()), self.lease());
        let what = if lease { Revoke::Lease(&held.id) } else { Revoke::Session };
        self.store.revoke(&self.cx, &self.session(), &access, what).await
    }
}

#[tokio::test]
async fn each_is_one_put_and_the_reply_is_the_truth() {
    let mut bench = Bench::start();
    bench.access.namespace = "team".into();
    bench.kit.script("/v1/auth/token/renew-self", Reply::new(200, AUTH));
    bench.kit.script("/v1/sys/leases/renew", Reply::new(200, LEASE));
    bench.kit.script_times("/v1/auth/token/revoke-self", 1, &Reply::empty());
    bench.kit.script_times("/v1/sys/leases/revoke", 1, &Reply::empty());
    let grant = |seconds, renewable| Grant { granted: Duration::from_secs(seconds), renewable };
    assert_eq!(bench.renew(false).await.unwrap(), grant(60, false));
    assert_eq!(bench.renew(true).await.unwrap(), grant(120, true));
    bench.revoke(false).await.unwrap();
    bench.revoke(true).await.unwrap();
    let log = bench.kit.take_log();
    let wanted = [
        ("/v1/auth/token/renew-self", "{}".to_owned()),
        (
            "/v1/sys/leases/renew",
            r#"{"lease_id":"database/creds/web/CANARY\"1","increment":3600}"#.to_owned(),
        ),
        ("/v1/auth/token/revoke-self", "{}".to_owned()),
        ("/v1/sys/leases/revoke", r#"{"lease_id":"database/creds/web/CANARY\"1"}"#.to_owned()),
    ];
    assert_eq!(log.len(), wanted.len());
    for (request, (path, body)) in log.iter().zip(wanted) {
        assert_eq!((&*request.method, &*request.path), ("PUT", path));
        assert_eq!(String::from_utf8_lossy(&request.body), body);
        assert_eq!(request.header("x-vault-token"), Some(TOKEN));
        assert_eq!(request.header("x-vault-namespace"), Some("team"));
    }
}

#[tokio::test]
async fn a_grant_is_never_read_out_of_something_else() {
    let bench = Bench::start();
    for (lease, body) in [
        (true, r#"{"lease_id":"another","lease_duration":120,"renewable":true}"#),
        (true, r#"{"lease_duration":120}"#),
        (true, AUTH),
        (false, LEASE),
        (false, "{}"),
        (false, "null"),
    ] {
        bench.kit.script("/v1/", Reply::new(200, body));
        let fault = bench.renew(lease).await.unwrap_err();
        assert_eq!((fault.problem.reason, fault.retry), (Reason::Upstream, Retry::Never), "{body}");
        assert_eq!(bench.told(&fault), "at SITE: the reply is about something else than was renewed");
    }
    for (status, body) in [(200, "<html>CANARY</html>"), (204, ""), (200, r#"{"lease_duration":"1"}"#)] {
        bench.kit.script_times("/v1/", 2, &Reply::new(status, body));
        for lease in [true, false] {
            let fault = bench.renew(lease).await.unwrap_err();
            assert_eq!(fault.problem.reason, Reason::Upstream, "{}", bench.told(&fault));
        }
    }
    bench.kit.script("/v1/", Reply::new(200, LEASE.replace("120", "-1")));
    assert_eq!(bench.renew(true).await.unwrap().granted, Duration::ZERO);
}

#[tokio::test]
async fn a_failure_says_whether_to_renew_again_log_in_again_or_give_it_up() {
    let bench = Bench::start();
    for (status, body, reason, retry) in [
        (400, r#"{"errors":["lease not found"]}"#, Reason::NotFound, Retry::Never),
        (400, r#"{"errors":["lease is not renewable"]}"#, Reason::NotFound, Retry::Never),
        (403, r#"{"errors":["permission denied"]}"#, Reason::Forbidden, Retry::Never),
        (429, "{}", Reason::Throttled, Retry::Backoff),
        (500, "{}", Reason::Upstream, Retry::Backoff),
        (503, "{}", Reason::Upstream, Retry::Backoff),
    ] {
        for lease in [true, false] {
            bench.kit.script("/v1/auth/token/lookup-self", Reply::new(200, "{}"));
            bench.kit.script("/v1/", Reply::new(status, body));
            let fault = bench.renew(lease).await.unwrap_err();
            assert_eq!((fault.problem.reason, fault.retry), (reason, retry), "{}", bench.told(&fault));
        }
    }
}

#[tokio::test]
async fn what_the_server_no_longer_knows_has_ended() {
    let bench = Bench::start();
    for lease in [true, false] {
        let denied = Reply::new(403, r#"{"errors":["permission denied"]}"#);
        let denied_path = if lease { "/v1/sys/leases/revoke" } else { "/v1/auth/token/revoke-self" };
        bench.kit.script(denied_path, denied.clone());
        bench.kit.script("/v1/auth/token/lookup-self", denied.clone());
        bench.revoke(lease).await.unwrap();
        bench.kit.script(denied_path, denied);
        bench.kit.script("/v1/auth/token/lookup-self", Reply::new(200, "{}"));
        let fault = bench.revoke(lease).await.unwrap_err();
        assert_eq!((fault.problem.reason, fault.retry), (Reason::Forbidden, Retry::Never));
        bench.kit.script(denied_path, Manner::ResetAtOnce.into());
        let fault = bench.revoke(lease).await.unwrap_err();
        assert!(fault.doubtful, "{}", bench.told(&fault));
        assert_eq!(bench.kit.unasked(), 0);
    }
}
