use std::time::Duration;

use futures_util::future::join_all;
use latchkey::engine::Keep;
use latchkey::error::Reason;
use latchkey::store::Scope;
use serde_json::json;

use super::world::{Setup, Who, World, web};

const ONE: &[&str] = &["kv/a"];

#[tokio::test(start_paused = true)]
async fn g_33_many_equal_mounts_at_once_are_one_login_a_pod_and_one_read() {
    let world = World::new(Setup::default());
    let mounts: Vec<Who> = (0..200).map(|index| web(index % 20)).collect();
    let got = join_all(mounts.iter().map(|who| world.mount(who, ONE))).await;
    assert!(got.into_iter().all(|got| got.unwrap() == ["shop/web kv/a r0"]));
    assert_eq!(world.backend.counts(), (20, 1));
    assert!((world.figure("latchkey_sessions{store=\"vault\"}") - 20.0).abs() < 0.1);
    let shared = world.figure("latchkey_cache_total{store=\"vault\",result=\"shared\"}");
    let hits = world.figure("latchkey_cache_total{store=\"vault\",result=\"hit\"}");
    assert!((shared + hits - 199.0).abs() < 0.1, "{shared} {hits}");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_the_pods_own_and_its_newer_token_makes_no_other() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.pass(120).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts(), (1, 2), "the second token logged in again");
    world.mount(&web(2), ONE).await.unwrap();
    world.mount(&Who { role: "other", ..web(1) }, ONE).await.unwrap();
    let logins = world.backend.state().logins.clone();
    let other = Who { role: "other", ..web(1) };
    assert_eq!(logins, [web(1).name(), web(2).name(), other.name()]);
}

#[tokio::test(start_paused = true)]
async fn the_scope_of_the_store_says_whose_a_session_is() {
    let world = World::new(Setup::default());
    world.backend.state().scope = Scope::Account;
    for who in [web(1), web(2), Who { account: "db", ..web(3) }, Who { namespace: "lab", ..web(4) }] {
        world.mount(&who, ONE).await.unwrap();
    }
    assert_eq!(world.backend.counts().0, 3);
    world.backend.state().scope = Scope::Publish;
    for (pod, user) in [(1, "ann"), (2, "ann"), (3, "bob")] {
        let got = world.mount_published(&web(pod), user, "kv/a").await.unwrap();
        assert_eq!(got, format!("publish/{user} kv/a r0"));
    }
    assert_eq!(world.backend.counts().0, 5);
    let problems = world.mount(&web(1), ONE).await.unwrap_err();
    assert_eq!(problems.reason(), Reason::Setup, "{problems}");
}

#[tokio::test(start_paused = true)]
async fn a_sync_logs_in_for_its_account_and_never_takes_a_pods_session() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.sync(&web(1), ONE).await.unwrap();
    world.sync(&web(2), ONE).await.unwrap();
    let logins = world.backend.state().logins.clone();
    assert_eq!(logins, [web(1).name(), "shop/web//web".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_replaced_behind_a_mount_before_it_ends() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.pass(3600 - 302).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 1, "not due yet");
    world.pass(10).await;
    let before = world.clock.now();
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.clock.now() - before, Duration::ZERO, "the mount waited for the login behind it");
    world.pass(1).await;
    assert_eq!(world.backend.counts().0, 2);
    // The new one is not due, and lasts beyond the end of the old one.
    world.pass(600).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_fails_keeps_the_old_session_until_its_end() {
    for reason in [Reason::Unreachable, Reason::Login] {
        let keep = Keep { stale_max: Duration::ZERO, ..Keep::default() };
        let world = World::new(Setup { keep, ..Setup::default() });
        world.mount(&web(1), ONE).await.unwrap();
        world.pass(3600 - 250).await;
        world.backend.state().login_fault.insert("*".to_owned(), reason);
        for _ in 0..2 {
            world.mount(&web(1), &["kv/a fresh=0"]).await.unwrap();
            world.pass(100).await;
        }
        assert!(world.backend.counts().0 >= 2, "nobody tried");
        world.pass(60).await;
        let problems = world.mount(&web(1), &["kv/a fresh=0"]).await.unwrap_err();
        assert_eq!(problems.reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_used_once_its_end_is_near() {
    let world = World::new(Setup::default());
    world.backend.state().life = Some(Duration::from_secs(100));
    world.mount(&web(1), ONE).await.unwrap();
    world.pass(70).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 1);
    world.pass(22).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_at_once_serves_the_mount_that_made_it_only() {
    let world = World::new(Setup::default());
    world.backend.state().life = Some(Duration::ZERO);
    let mounts = (0..5).map(|_| web(1)).collect::<Vec<_>>();
    let got = join_all(mounts.iter().map(|who| world.mount(who, ONE))).await;
    assert!(got.into_iter().all(|got| got.is_ok()));
    assert_eq!(world.backend.counts(), (5, 1));
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts(), (6, 1), "what is kept is served through a session of its own still");
    assert!(world.figure("latchkey_sessions{store=\"vault\"}") < 0.1);
}

#[tokio::test(start_paused = true)]
async fn all_mounts_that_meet_a_session_that_is_over_get_by_on_one_new_login() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.backend.revoke_all();
    // Two volumes of one pod, as when a node's driver polls all of them at once.
    let other = Who { volume: "other", ..web(1) };
    let pod = web(1);
    let mounts = (world.mount(&pod, &["kv/b"]), world.mount(&other, &["kv/c"]));
    let (one, two) = futures_util::future::join(mounts.0, mounts.1).await;
    assert_eq!(
        (one.unwrap(), two.unwrap()),
        (vec!["shop/web kv/b r0".into()], vec!["shop/web kv/c r0".into()])
    );
    assert_eq!(world.backend.counts().0, 2);
    // The new one is another session: within five minutes its end is not taken for a mishap.
    world.backend.revoke_all();
    let problems = world.mount(&web(1), &["kv/d"]).await.unwrap_err();
    assert_eq!((problems.reason(), world.backend.counts().0), (Reason::Forbidden, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_with_its_text_and_for_longer_each_time() {
    let world = World::new(Setup::default());
    world.mount(&Who { volume: "other", ..web(1) }, ONE).await.unwrap();
    world.backend.revoke_all();
    world.backend.state().login_fault.insert(web(1).name(), Reason::Login);
    let text = world.mount(&web(1), &["kv/b"]).await.unwrap_err().text();
    assert!(text.starts_with("login: store `vault`"), "{text}");
    let mut tried = vec![0];
    let mut logins = world.backend.counts().0;
    for second in 1..=200 {
        world.pass(1).await;
        // A volume that was given something before: its wait may be a minute.
        let again = world.mount(&Who { volume: "other", ..web(1) }, &["kv/b"]).await.unwrap_err();
        assert_eq!(again.text(), text);
        if world.backend.counts().0 > logins {
            logins = world.backend.counts().0;
            tried.push(second);
        }
    }
    let pauses: Vec<i32> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60], "{tried:?}");
    assert!(world.figure("latchkey_cache_total{store=\"vault\",result=\"negative\"}") > 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_first_mount_waits_ten_seconds_at_most_for_a_refusal_to_be_forgotten() {
    let world = World::new(Setup::default());
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Login);
    for _ in 0..6 {
        world.mount(&web(1), ONE).await.unwrap_err();
        world.pass(11).await;
    }
    assert_eq!(world.backend.counts().0, 6);
    // And it is forgotten at the first login that succeeds.
    world.backend.state().login_fault.clear();
    world.mount(&web(1), ONE).await.unwrap();
    // Neither is anybody else's business.
    world.backend.state().login_fault.insert(web(1).name(), Reason::Login);
    world.mount(&web(2), ONE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_login_is_not_remembered() {
    let world = World::new(Setup::default());
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Unreachable);
    for _ in 0..3 {
        world.mount(&web(1), ONE).await.unwrap_err();
    }
    assert_eq!(world.backend.counts().0, 3);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_believed_is_replaced_once_in_five_minutes() {
    let world = World::new(Setup::default());
    world.mount(&web(1), ONE).await.unwrap();
    world.backend.revoke_all();
    world.pass(61).await;
    let both = [web(1), Who { volume: "two", ..web(1) }];
    let got = join_all(both.iter().map(|who| world.mount(who, &["kv/a", "kv/b"]))).await;
    assert!(got.into_iter().all(|got| got.is_ok()));
    assert_eq!(world.backend.counts().0, 2, "both mounts share one new session");
    world.backend.revoke_all();
    world.pass(61).await;
    let problems = world.mount(&web(1), ONE).await.unwrap_err();
    assert_eq!((problems.reason(), world.backend.counts().0), (Reason::Forbidden, 2));
    world.pass(240).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 3);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_dead_session_fails_nobody_who_waited_for_its_read() {
    let world = World::new(Setup::default());
    world.mount(&web(1), &["kv/x"]).await.unwrap();
    world.backend.revoke_all();
    world.mount(&web(2), &["kv/y"]).await.unwrap();
    let (one, two) = (web(1), web(2));
    let (leads, waits) = futures_util::join!(world.mount(&one, ONE), world.mount(&two, ONE));
    assert_eq!((leads.is_ok(), waits.is_ok()), (true, true));
    assert_eq!(world.backend.counts().0, 3, "the session that was alive was left alone");
}

#[tokio::test(start_paused = true)]
async fn sessions_are_bounded_and_the_one_that_was_not_used_for_longest_goes() {
    let world = World::new(Setup { keep: Keep { sessions: 3, ..Keep::default() }, ..Setup::default() });
    for pod in [1, 2, 3, 1, 4] {
        world.mount(&web(pod), ONE).await.unwrap();
    }
    assert_eq!(world.backend.counts().0, 4);
    assert!((world.figure("latchkey_sessions{store=\"vault\"}") - 3.0).abs() < 0.1);
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 4);
    world.mount(&web(2), ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, 5);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_very_many_principals_takes_no_session_from_another() {
    let world = World::new(Setup { keep: Keep { sessions: 8, ..Keep::default() }, ..Setup::default() });
    let other = Who { namespace: "depot", ..web(1) };
    world.mount(&other, ONE).await.unwrap();
    for pod in 2..30 {
        world.mount(&web(pod), ONE).await.unwrap();
    }
    let logins = world.backend.counts().0;
    world.mount(&other, ONE).await.unwrap();
    assert_eq!(world.backend.counts().0, logins, "the other namespace had to log in anew");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_judged_at_every_mount_whatever_is_kept() {
    let world = World::new(Setup::default());
    let time = Duration::from_secs(45);
    let with = |more: serde_json::Value| {
        let mut claims = world.claims(&web(1));
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let now = world.clock.wall().seconds();
    world.mount(&web(1), ONE).await.unwrap();
    for more in [json!({ "exp": now - 60 }), json!({ "nbf": now + 70 })] {
        let problems = world.mount_with(&web(1), ONE, &with(more), time).await.unwrap_err();
        assert_eq!(problems.reason(), Reason::Expired, "{problems}");
    }
    assert_eq!(world.mount_without_token(&web(1), ONE).await.unwrap_err().reason(), Reason::Setup);
    for more in [json!({ "exp": now - 58 }), json!({ "nbf": now + 58 })] {
        world.mount_with(&web(1), ONE, &with(more), time).await.unwrap();
    }
    assert_eq!(world.backend.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_api_server_would_believe_goes_nowhere() {
    let world = World::new(Setup::default());
    let time = Duration::from_secs(45);
    for audiences in [json!(["https://issuer.test"]), json!(["vault", "https://issuer.test"]), json!([""])] {
        let mut claims = world.claims(&web(1));
        claims["aud"] = audiences;
        let problems = world.mount_with(&web(1), ONE, &claims, time).await.unwrap_err();
        assert_eq!(problems.reason(), Reason::Policy, "{problems}");
    }
    assert_eq!(world.backend.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_loses_nothing() {
    let world = World::new(Setup::default());
    world.backend.state().login_delay = Duration::from_secs(12);
    world.backend.state().read_delay = Duration::from_secs(12);
    let claims = world.claims(&web(1));
    let problems = world.mount_with(&web(1), ONE, &claims, Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(problems.reason(), Reason::Timeout);
    world.pass(5).await;
    let problems = world.mount_with(&web(1), ONE, &claims, Duration::from_secs(10)).await.unwrap_err();
    assert!(problems.text().contains("secret `s0`"), "{problems}");
    world.pass(5).await;
    world.mount(&web(1), ONE).await.unwrap();
    assert_eq!(world.backend.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_panics_fails_its_mounts_alone_and_nobody_is_left_waiting() {
    let world = World::new(Setup::default());
    world.backend.state().panics = true;
    let (one, two) = (web(1), web(1));
    let (first, second) = futures_util::join!(world.mount(&one, ONE), world.mount(&two, ONE));
    assert_eq!((first.unwrap_err().reason(), second.unwrap_err().reason()), (Reason::Bug, Reason::Bug));
    world.backend.state().panics = false;
    world.mount(&web(1), ONE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_login_is_on_record_with_who_and_why() {
    let world = World::new(Setup::default());
    world.mount(&web(1), &["kv/a", "kv/b"]).await.unwrap();
    world.backend.state().login_fault.insert("*".to_owned(), Reason::Login);
    world.mount(&web(2), ONE).await.unwrap_err();
    world.mount(&web(2), ONE).await.unwrap_err();
    let lines = world.lines().await;
    let logins: Vec<_> = lines.iter().filter(|line| line["event"] == "login").collect();
    assert_eq!(logins.len(), 2, "{lines:?}");
    let line = logins[0];
    assert_eq!(
        (&line["store"], &line["endpoint"], &line["role"], &line["outcome"], &line["jti"]),
        (
            &json!("vault"),
            &json!("https://vault.test:8200"),
            &json!("web"),
            &json!("accepted"),
            &json!("token-1")
        )
    );
    assert_eq!((&line["serviceAccount"], &line["podUid"]), (&json!("web"), &json!(web(1).uid())));
    assert_eq!((&logins[1]["outcome"], &logins[1]["reason"]), (&json!("refused"), &json!("login")));
    for (outcome, count) in [("accepted", 1.0), ("refused", 1.0), ("failed", 0.0)] {
        let name = format!("latchkey_logins_total{{store=\"vault\",outcome=\"{outcome}\"}}");
        assert!((world.figure(&name) - count).abs() < 0.1, "{outcome}");
    }
}
