use std::time::Duration;

use futures_util::future::join_all;
use latchkey::engine::Keep;
use latchkey::error::Reason;
use latchkey::store::Manners;
use serde_json::json;

use super::backend::Nature;
use super::world::{Setup, Who, World, web};

fn kept(keep: Keep) -> World {
    World::new(Setup { keep, ..Setup::default() })
}

#[tokio::test(start_paused = true)]
async fn an_object_is_fresh_as_long_as_the_store_says_and_read_again_then() {
    let world = World::new(Setup::default());
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.backend.change("kv/a");
    world.pass(59).await;
    assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap(), ["shop/web kv/a r0"]);
    world.pass(1).await;
    assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap(), ["shop/web kv/a r1"]);
    assert_eq!(world.backend.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_class_wishes_before_the_configuration_which_stands_before_the_manners() {
    let configured = Some(Duration::from_secs(300));
    let world = World::new(Setup { configured, ..Setup::default() });
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.pass(200).await;
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 1, "the configured time holds");
    world.mount(&web(2), &["kv/a fresh=10"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 2, "a shorter wish than the object's age reads it again");
    world.mount(&web(2), &["kv/a fresh=0"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 3, "nought turns it off");
    let clamped =
        Keep { fresh_min: Duration::from_secs(20), fresh_max: Duration::from_secs(100), ..Keep::default() };
    let world = World::new(Setup { configured, keep: clamped, ..Setup::default() });
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.pass(19).await;
    world.mount(&web(1), &["kv/a fresh=0"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 1, "below the least");
    world.pass(82).await;
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 2, "above the most");
}

#[tokio::test(start_paused = true)]
async fn a_pinned_version_is_fresh_for_an_hour_unless_the_class_or_a_nought_says_otherwise() {
    let world = World::new(Setup::default());
    world.backend.state().nature.insert("kv/a".to_owned(), Nature::Pinned);
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.pass(3500).await;
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 1);
    world.mount(&web(1), &["kv/a fresh=60"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 2);
    let off = World::new(Setup { configured: Some(Duration::ZERO), ..Setup::default() });
    off.backend.state().nature.insert("kv/a".to_owned(), Nature::Pinned);
    for _ in 0..2 {
        off.mount(&web(1), &["kv/a"]).await.unwrap();
    }
    assert_eq!(off.backend.counts().1, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_belongs_to_an_authority_and_an_access() {
    let world = World::new(Setup::default());
    let other = Who { account: "db", ..web(2) };
    let role = Who { role: "admin", ..web(3) };
    for who in [&web(1), &other, &role] {
        let expected = format!("{}/{} kv/a r0", who.namespace, who.account);
        assert_eq!(world.mount(who, &["kv/a"]).await.unwrap(), [expected]);
    }
    assert_eq!(world.backend.counts(), (3, 3));
    // The same authority shares, whichever pod it is.
    world.mount(&web(4), &["kv/a"]).await.unwrap();
    assert_eq!(world.backend.counts(), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_changes_changes_what_is_served() {
    let world = World::new(Setup::default());
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.backend.state().authority.insert(web(1).name(), "demoted".to_owned());
    world.backend.revoke_all();
    assert_eq!(world.mount(&web(1), &["kv/b"]).await.unwrap(), ["demoted kv/b r0"]);
    // What the old authority was given is still fresh, and not its any more.
    assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap(), ["demoted kv/a r0"]);
}

#[tokio::test(start_paused = true)]
async fn issued_material_is_handed_to_the_mount_that_asked_and_never_kept() {
    let world = World::new(Setup::default());
    world.backend.state().nature.insert("db/creds".to_owned(), Nature::Leased);
    let (pods, twice) = ([web(1), web(2), web(3)], ["db/creds", "db/creds as=again"]);
    let mut all = Vec::new();
    for got in join_all(pods.iter().map(|who| world.mount(who, &twice))).await {
        let got = got.unwrap();
        assert_eq!(got[0], got[1], "the files of one mount have one reply");
        all.push(got[0].clone());
    }
    all.push(world.mount(&web(1), &["db/creds"]).await.unwrap().remove(0));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4, "two mounts share what was issued: {all:?}");
    assert_eq!(world.backend.counts().1, 4);
    assert!(world.figure("latchkey_cache_entries") < 0.1);
    let before = world.clock.now();
    join_all(pods.iter().map(|who| world.mount(who, &twice))).await;
    assert_eq!(world.clock.now() - before, Duration::from_millis(20), "they read in turn, not at once");
}

#[tokio::test(start_paused = true)]
async fn a_mount_reads_in_batches_all_at_once_and_names_every_object_that_fails() {
    let manners = Manners { batch: 3, fresh: Duration::from_secs(60) };
    let world = World::new(Setup { manners, ..Setup::default() });
    let objects: Vec<String> = (0..7).map(|index| format!("kv/{index}")).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    world.mount(&web(1), &[]).await.unwrap_err();
    let before = world.clock.now();
    world.mount(&web(1), &objects).await.unwrap();
    assert_eq!(world.clock.now() - before, Duration::from_millis(40));
    let mut batches = world.backend.state().batches.clone();
    batches.sort_unstable();
    assert_eq!(batches, [1, 3, 3]);
    world.pass(60).await;
    for path in ["kv/2", "kv/5"] {
        world.backend.state().read_fault.insert(path.to_owned(), Reason::Forbidden);
    }
    let problems = world.mount(&web(1), &objects).await.unwrap_err();
    let named: Vec<_> = problems.iter().map(|problem| problem.place.object.clone().unwrap()).collect();
    assert_eq!(named, ["secret `s2` (vault kv/2)", "secret `s5` (vault kv/5)"]);
    world.backend.state().login_fault.insert(web(2).name(), Reason::Login);
    let problems = world.mount(&web(2), &objects).await.unwrap_err();
    assert_eq!(problems.iter().count(), 1, "a login is named once: {problems}");
}

#[tokio::test(start_paused = true)]
async fn objects_of_one_batch_that_fail_alike_keep_their_own_words() {
    let manners = Manners { batch: 2, fresh: Duration::from_secs(60) };
    let world = World::new(Setup { manners, ..Setup::default() });
    world.backend.state().read_again = true;
    for path in ["kv/a", "kv/b"] {
        world.backend.state().read_fault.insert(path.to_owned(), Reason::Upstream);
    }
    let problems = world.mount(&web(1), &["kv/a", "kv/b"]).await.unwrap_err();
    for (problem, path) in problems.iter().zip(["kv/a", "kv/b"]) {
        assert!(problem.what.ends_with(path), "{problem}");
    }
    assert_eq!(world.backend.state().batches, [2, 2, 2], "each attempt asks for both");
}

#[tokio::test(start_paused = true)]
async fn an_optional_object_may_be_absent_and_not_forbidden() {
    let world = World::new(Setup::default());
    world.backend.state().read_fault.insert("kv/b".to_owned(), Reason::NotFound);
    assert_eq!(world.mount(&web(1), &["kv/a", "kv/b optional"]).await.unwrap().len(), 1);
    world.backend.state().read_fault.insert("kv/b".to_owned(), Reason::Forbidden);
    assert_eq!(
        world.mount(&web(1), &["kv/a", "kv/b optional"]).await.unwrap_err().reason(),
        Reason::Forbidden
    );
}

#[tokio::test(start_paused = true)]
async fn f_61_what_the_backend_does_not_give_any_more_is_dropped_at_the_first_no() {
    for reason in [Reason::Forbidden, Reason::NotFound] {
        let world = World::new(Setup::default());
        world.mount(&web(1), &["kv/a"]).await.unwrap();
        world.backend.state().read_fault.insert("kv/a".to_owned(), reason);
        world.pass(59).await;
        world.mount(&web(2), &["kv/a"]).await.unwrap();
        assert_eq!(world.mount(&web(2), &["kv/a fresh=10"]).await.unwrap_err().reason(), reason);
        // Others of that authority, for whom it would still be fresh.
        assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap_err().reason(), reason);
        // And no outage brings it back, once the no itself is forgotten.
        world.pass(11).await;
        world.backend.state().read_fault.insert("kv/a".to_owned(), Reason::Unreachable);
        assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap_err().reason(), Reason::Unreachable);
    }
}

#[tokio::test(start_paused = true)]
async fn the_cache_has_a_bound_of_objects_and_of_bytes_and_keeps_no_giants() {
    let world = kept(Keep { objects: 3, ..Keep::default() });
    for path in ["kv/a", "kv/b", "kv/c", "kv/a", "kv/d", "kv/a"] {
        world.mount(&web(1), &[path]).await.unwrap();
    }
    assert_eq!(world.backend.counts().1, 4);
    world.mount(&web(1), &["kv/b"]).await.unwrap();
    assert_eq!(world.backend.counts().1, 5, "what was not used for longest is gone");
    let world = kept(Keep { bytes: 100_000, ..Keep::default() });
    for path in ["kv/a", "kv/b", "kv/c", "kv/d", "kv/e", "kv/f"] {
        world.backend.state().nature.insert(path.to_owned(), Nature::Large(20_000));
        world.mount(&web(1), &[path]).await.unwrap();
        let bytes = world.figure("latchkey_cache_bytes");
        assert!((1.0..=100_000.0).contains(&bytes), "{bytes}");
    }
    assert!((world.figure("latchkey_cache_entries") - 4.0).abs() < 0.1);
    world.backend.state().nature.insert("kv/g".to_owned(), Nature::Large(25_001));
    for _ in 0..2 {
        world.mount(&web(1), &["kv/g"]).await.unwrap();
    }
    assert_eq!(world.backend.counts().1, 8, "a giant is not kept");
    assert!((world.figure("latchkey_cache_entries") - 4.0).abs() < 0.1, "nor does it drive others out");
}

#[tokio::test(start_paused = true)]
async fn what_can_serve_nobody_any_more_is_let_go() {
    let world = World::new(Setup::default());
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.pass(7100).await;
    world.engine.tidy().await;
    assert!((world.figure("latchkey_cache_entries") - 1.0).abs() < 0.1, "an outage might still want it");
    assert!(world.figure("latchkey_sessions{store=\"vault\"}") < 0.1);
    world.pass(200).await;
    world.engine.tidy().await;
    assert!(world.figure("latchkey_cache_entries") < 0.1);
    assert!(world.figure("latchkey_cache_bytes") < 0.1);
}

#[tokio::test(start_paused = true)]
async fn the_trail_says_where_each_object_came_from() {
    let world = World::new(Setup { all_polls: true, ..Setup::default() });
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.mount(&web(1), &["kv/a", "kv/b"]).await.unwrap();
    world.pass(61).await;
    world.backend.state().read_fault.insert("kv/a".to_owned(), Reason::Timeout);
    world.mount(&web(1), &["kv/a", "kv/b"]).await.unwrap();
    let lines = world.lines().await;
    let delivered = lines.iter().filter(|line| line["event"] == "deliver");
    let sources: Vec<_> = delivered.map(|line| line["source"].clone()).collect();
    assert_eq!(sources, ["backend", "cache", "backend", "stale", "backend"].map(|word| json!(word)));
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_unchanged_polls_is_a_line_for_the_mount_and_one_for_each_login() {
    let world = World::new(Setup::default());
    for _ in 0..30 {
        world.mount(&web(1), &["kv/a"]).await.unwrap();
        world.pass(120).await;
    }
    let lines = world.lines().await;
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["login", "deliver", "login"]);
    assert_eq!(world.backend.counts(), (2, 30));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_holds_the_room_of_what_was_read_and_not_of_what_was_kept() {
    let world = World::new(Setup::default());
    let sync = world.sync(&web(1), &["kv/a", "kv/b"]).await.unwrap();
    assert_eq!(sync.claims.len(), 2);
    assert!(world.sync(&web(1), &["kv/a", "kv/b"]).await.unwrap().claims.is_empty());
}

#[tokio::test(start_paused = true)]
async fn objects_of_very_many_tiny_fields_take_room_by_what_they_become() {
    let world = World::new(Setup::default());
    let wide = |path: &str| (path.to_owned(), Nature::Wide(100_000));
    world.backend.state().nature.extend(["a", "b"].map(wide));
    // 24 MiB are for replies; each of these takes more than 19 MiB of memory.
    let problems = world.mount(&web(1), &["a", "b"]).await.unwrap_err();
    assert!(problems.reason() >= Reason::Timeout, "{problems}");
    world.pass(120).await;
    world.mount(&web(2), &["a"]).await.expect("one at a time");
}
