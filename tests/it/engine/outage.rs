use std::time::Duration;

use latchkey::engine::Keep;
use latchkey::error::Reason;

use super::world::{Setup, Who, World, web};

const ONE: &[&str] = &["kv/a"];
const OUTAGES: [Reason; 5] =
    [Reason::Throttled, Reason::Unreachable, Reason::Timeout, Reason::Upstream, Reason::Busy];
const REFUSALS: [Reason; 3] = [Reason::Forbidden, Reason::NotFound, Reason::Login];

#[tokio::test(start_paused = true)]
async fn while_the_store_is_out_a_holder_is_given_again_what_it_has() {
    for reason in OUTAGES {
        let world = World::new(Setup::default());
        world.mount(&web(1), ONE).await.unwrap();
        world.backend.change("kv/a");
        world.backend.state().read_fault.insert("*".to_owned(), reason);
        for _ in 0..5 {
            world.pass(61).await;
            assert_eq!(world.mount(&web(1), ONE).await.unwrap(), ["shop/web kv/a r0"], "{reason}");
        }
        world.backend.state().read_fault.clear();
        assert_eq!(world.mount(&web(1), ONE).await.unwrap(), ["shop/web kv/a r1"]);
        let stale = world.figure("latchkey_cache_total{store=\"vault\",result=\"stale\"}");
        assert!((stale - 5.0).abs() < 0.1, "{stale}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_is_never_papered_over() {
    for reason in REFUSALS {
        let world = World::new(Setup::default());
        world.mount(&web(1), ONE).await.unwrap();
        world.pass(61).await;
        world.backend.state().read_fault.insert("*".to_owned(), reason);
        assert_eq!(world.mount(&web(1), ONE).await.unwrap_err().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_else_is_given_it_not_another_volume_nor_another_pod_nor_a_sync() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.mount(&web(2), &["kv/b"]).await.unwrap();
    world.pass(61).await;
    world.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    let others = [web(2), web(3), Who { volume: "another", ..web(1) }];
    for who in &others {
        assert_eq!(world.mount(who, ONE).await.unwrap_err().reason(), Reason::Unreachable, "{who:?}");
    }
    assert!(world.sync(&web(1), ONE).await.is_err());
    world.mount(&web(1), ONE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sync_is_a_holder_too() {
    let world = World::new(Setup::default());
    world.sync(&web(1), ONE).await.unwrap();
    world.pass(61).await;
    world.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    world.sync(&web(1), ONE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn first_mounts_are_given_it_where_the_administrator_says_so() {
    let keep = Keep { stale_first: true, ..Keep::default() };
    let world = World::new(Setup { keep, ..Setup::default() });
    world.mount(&web(1), ONE).await.unwrap();
    world.pass(61).await;
    world.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    world.mount(&web(2), ONE).await.unwrap();
    // Through a session that was given that authority, and no other way.
    let other = Who { account: "db", ..web(3) };
    assert!(world.mount(&other, ONE).await.is_err());
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Unreachable);
    assert!(world.mount(&web(4), ONE).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn it_is_served_for_an_hour_beyond_fresh_and_not_for_ever() {
    let world = World::new(Setup::default());
    world.backend.state().life = None;
    world.mount(&web(1), ONE).await.unwrap();
    world.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    world.pass(3650).await;
    world.mount(&web(1), ONE).await.unwrap();
    world.pass(11).await;
    assert_eq!(world.mount(&web(1), ONE).await.unwrap_err().reason(), Reason::Unreachable);
    let off =
        World::new(Setup { keep: Keep { stale_max: Duration::ZERO, ..Keep::default() }, ..Setup::default() });
    off.mount(&web(1), ONE).await.unwrap();
    off.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    off.pass(61).await;
    assert!(off.mount(&web(1), ONE).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_fails_for_an_outage_rests_on_what_the_backend_last_said() {
    let world = World::new(Setup::default());
    world.backend.state().life = Some(Duration::from_secs(600));
    world.mount(&web(1), ONE).await.unwrap();
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Unreachable);
    world.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    world.pass(900).await;
    world.mount(&web(1), ONE).await.unwrap();
    // All or nothing here too, and the login is named once.
    let problems = world.mount(&web(1), &["kv/a", "kv/b"]).await.unwrap_err();
    assert_eq!((problems.iter().count(), problems.reason()), (1, Reason::Unreachable));
    assert!(problems.text().contains("store `vault`"), "{problems}");
    // A backend that says no takes that away for good.
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Login);
    assert_eq!(world.mount(&web(1), ONE).await.unwrap_err().reason(), Reason::Login);
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Unreachable);
    world.pass(120).await;
    assert_eq!(world.mount(&web(1), ONE).await.unwrap_err().reason(), Reason::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_says_nothing_is_an_outage_and_the_answer_is_there_in_time() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.pass(61).await;
    world.backend.state().read_delay = Duration::from_secs(500);
    let claims = world.claims(&web(1));
    let before = world.clock.now();
    world.mount_with(&web(1), ONE, &claims, Duration::from_secs(20)).await.unwrap();
    assert!(world.clock.now() - before < Duration::from_secs(20));
    let problems = world.mount_with(&web(2), ONE, &claims_of(&world, 2), Duration::from_secs(20)).await;
    assert_eq!(problems.unwrap_err().reason(), Reason::Timeout);
    // The read's own time ends too, so that the next one may begin.
    world.backend.state().read_delay = Duration::ZERO;
    world.pass(61).await;
    world.backend.change("kv/a");
    assert_eq!(world.mount(&web(2), ONE).await.unwrap(), ["shop/web kv/a r1"]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_hangs_ends_with_its_own_time_and_the_next_one_begins() {
    let world = World::new(Setup::default());
    world.backend.state().login_delay = Duration::from_secs(500);
    assert_eq!(world.mount(&web(1), ONE).await.unwrap_err().reason(), Reason::Timeout);
    world.backend.state().login_delay = Duration::ZERO;
    world.pass(20).await;
    world.mount(&web(1), ONE).await.unwrap();
}

fn claims_of(world: &World, pod: usize) -> serde_json::Value {
    world.claims(&web(pod))
}
