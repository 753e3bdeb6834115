//! F-21: redirects. A token is seen by the host that it is for, and by no other.

use latchkey::error::Reason::Upstream;

use super::bed::{Bed, get, put};
use super::family::{Case, run};
use crate::testkit::{Reply, Testkit};

#[tokio::test]
async fn f_21_no_redirect_leads_a_token_away() {
    let (kit, other) = (Testkit::start(), Testkit::start());
    let elsewhere = format!("{}/v1/x", other.address());
    let plain = format!("http://{}/v1/x", kit.listener());
    let refused = (Upstream, "redirect refused");
    let mut cases: Vec<Case> = [301, 302, 303]
        .into_iter()
        .map(|status| {
            Case::once("to the same origin", Reply::redirect(status, "/v1/kv/calm"), refused, refused)
        })
        .collect();
    for status in [301, 302, 307, 308] {
        cases.push(Case::once("to another origin", Reply::redirect(status, &elsewhere), refused, refused));
        cases.push(Case::once("to no TLS", Reply::redirect(status, &plain), refused, refused));
    }
    cases.push(Case::once("to nowhere", Reply::new(307, ""), refused, refused));
    run(kit, &cases).await;
    assert_eq!(other.connections(), 0, "nobody went there");
}

#[tokio::test]
async fn f_21_one_redirect_to_the_same_origin_is_followed_and_a_loop_ends() {
    let host = "a.kit.test";
    let bed = Bed::new(Testkit::start(), &[host.to_owned()]);
    for (number, status) in [(1, 307), (2, 308)] {
        bed.faults_for(host, "kv/moved", Some(1), &Reply::redirect(status, "/v1/kv/there"));
        assert_eq!(
            bed.mount_one(&bed.ask(number, host, &get("kv/moved"))).await.file(),
            "CANARY of kv/there"
        );
    }
    bed.forget();
    bed.fault(host, "kv/loop", &Reply::redirect(307, "/v1/kv/loop"));
    bed.fault(host, "pki/loop", &Reply::redirect(308, "/v1/pki/loop"));
    for (number, objects, path) in [(3, get("kv/loop"), "kv/loop"), (4, put("pki/loop"), "pki/loop")] {
        let answer = bed.mount_one(&bed.ask(number, host, &objects)).await;
        assert!(answer.refused().text().contains("redirect refused"), "{}", answer.refused());
        assert_eq!((answer.refused().reason(), bed.asked(host, path)), (Upstream, 2));
    }
    bed.is_well().await;
}
