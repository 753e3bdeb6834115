use futures_util::future::join_all;
use latchkey::engine::Keep;
use latchkey::error::Reason;

use super::world::{Setup, World, web};

fn stateless() -> World {
    World::new(Setup { keep: Keep { stateless: true, ..Keep::default() }, ..Setup::default() })
}

#[tokio::test(start_paused = true)]
async fn every_mount_logs_in_and_reads() {
    let world = stateless();
    for _ in 0..3 {
        world.mount(&web(1), &["kv/a", "kv/a as=b", "kv/c"]).await.unwrap();
    }
    assert_eq!(world.backend.counts(), (3, 6), "files of one mount share a read, mounts share nothing");
    let mounts = [web(1), web(1)];
    join_all(mounts.iter().map(|who| world.mount(who, &["kv/a"]))).await;
    assert_eq!(world.backend.counts(), (5, 8));
    assert!(world.figure("latchkey_sessions{store=\"vault\"}") < 0.1);
    assert!(world.figure("latchkey_cache_entries") < 0.1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_an_outage_and_a_refusal_is_not_remembered() {
    let world = stateless();
    world.mount(&web(1), &["kv/a"]).await.unwrap();
    world.backend.state().read_fault.insert("*".to_owned(), Reason::Unreachable);
    assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap_err().reason(), Reason::Unreachable);
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Login);
    for _ in 0..2 {
        assert_eq!(world.mount(&web(1), &["kv/a"]).await.unwrap_err().reason(), Reason::Login);
    }
    assert_eq!(world.backend.counts().0, 4);
}
