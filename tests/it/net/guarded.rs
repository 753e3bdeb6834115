//! Where a tenant's word may not lead.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use latchkey::error::{Reason, Retry};
use latchkey::model::{Endpoint, Origin};
use latchkey::net::{Config, Names};

use super::{is, now};
use crate::testkit::{Reply, Testkit};

#[tokio::test]
async fn a_tenants_name_that_leads_to_the_node_connects_to_nothing() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(super::loopback());
    let tenants = kit.endpoint_at("a.kit.test", Origin::Tenant);
    let told = is(stack.get(&tenants, "/v1/a").await, Reason::Policy, Retry::Never, false);
    assert!(told.contains("`a.kit.test` resolves to an address of the node's own"), "{told}");
    assert_eq!((kit.connections(), stack.counted("policy")), (0, 1));
    for origin in [Origin::Administrator, Origin::Builtin] {
        stack.get(&kit.endpoint_at("a.kit.test", origin), "/v1/a").await.unwrap();
    }
    assert_eq!(kit.connections(), 1);
    let told = is(stack.get(&tenants, "/v1/a").await, Reason::Policy, Retry::Never, false);
    assert!(
        told.contains("of the node's own") && kit.connections() == 1,
        "nor through another's connection: {told}"
    );
}

#[tokio::test]
async fn the_systems_own_answer_is_judged_too() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(Config::default());
    is(
        stack.get(&kit.endpoint_at("localhost", Origin::Tenant), "/v1/a").await,
        Reason::Policy,
        Retry::Never,
        false,
    );
    assert_eq!(kit.connections(), 0);
    stack.get(&kit.endpoint_at("localhost", Origin::Administrator), "/v1/a").await.unwrap();
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gets_no_second_lookup() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // Harmless at first, then the node; the harmless one is of a network that leads nowhere.
    let names = Names::of(move |_| {
        let ip = if counted.fetch_add(1, Ordering::SeqCst) == 0 { "192.0.2.1" } else { "127.0.0.1" };
        Ok(vec![ip.parse().unwrap()])
    });
    let limits =
        latchkey::net::Limits { connect: std::time::Duration::from_millis(200), ..Default::default() };
    let stack = now(Config { names, limits, ..Config::default() });
    let tenants = kit.endpoint_at("a.kit.test", Origin::Tenant);
    is(stack.get(&tenants, "/v1/a").await, Reason::Unreachable, Retry::Backoff, false);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the connection went where the judged answer says");
    is(stack.get(&tenants, "/v1/a").await, Reason::Policy, Retry::Never, false);
    assert_eq!(kit.connections(), 0);
}

#[tokio::test]
async fn addresses_of_the_node_are_left_out_among_others() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let names =
        Names::of(|_| Ok(["127.0.0.1", "192.0.2.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap()).into()));
    let limits =
        latchkey::net::Limits { connect: std::time::Duration::from_millis(200), ..Default::default() };
    let stack = now(Config { names, limits, ..Config::default() });
    is(
        stack.get(&kit.endpoint_at("a.kit.test", Origin::Tenant), "/v1/a").await,
        Reason::Unreachable,
        Retry::Backoff,
        false,
    );
    assert_eq!(kit.connections(), 0);
}

#[tokio::test]
async fn a_literal_address_that_policy_let_through_is_reached() {
    let kit = Testkit::start();
    kit.route("*", |_| Reply::text(200, "x"));
    let stack = now(Config::default());
    let tenants: Endpoint = kit.endpoint(Origin::Tenant);
    stack.get(&tenants, "/v1/a").await.unwrap();
    assert_eq!(kit.connections(), 1);
}
