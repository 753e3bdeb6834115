//! A store that changes under the agent: what an older file said is never served.

use std::sync::Arc;

use latchkey::app::local::Keeper;
use latchkey::clock::{Clock, Wall};
use latchkey::error::Reason;
use latchkey::store::{Proof, Store as _};

use super::{Bench, access, chmod, newest, refused, subject};

#[tokio::test]
async fn a_change_is_seen_by_the_next_mount() {
    let bench = Bench::new();
    let web = subject("web", "app");
    for round in 0..100_u32 {
        let value = format!("value {round:04}").into_bytes();
        bench.set("e", &["web/app"], &value);
        assert_eq!(bench.read(&web, "e").await.unwrap(), value);
        assert_eq!(bench.read(&web, "e").await.unwrap(), value);
    }
}

#[tokio::test]
async fn a_file_written_over_in_place_is_seen_too_although_size_and_number_stay() {
    let bench = Bench::new();
    let web = subject("web", "app");
    bench.set("e", &["web/app"], b"one");
    let one = std::fs::read(bench.file()).unwrap();
    let key = bench.key();
    let plain = String::from_utf8(age::decrypt(&key, &one).unwrap()).unwrap().replace("b25l", "dHdv");
    // age pads its header by chance.
    let two = std::iter::repeat_with(|| age::encrypt(&key.to_public(), plain.as_bytes()).unwrap())
        .find(|two| two.len() == one.len())
        .unwrap();
    for _ in 0..100 {
        std::fs::write(bench.file(), &one).unwrap();
        assert_eq!(bench.read(&web, "e").await.unwrap(), b"one");
        std::fs::write(bench.file(), &two).unwrap();
        assert_eq!(bench.read(&web, "e").await.unwrap(), b"two");
    }
}

#[tokio::test]
async fn a_change_is_seen_when_the_files_had_been_still_for_long() {
    // By this clock every file is old, so that its times alone must tell.
    let clock = Clock::paused(Wall::parse("2100-01-01T00:00:00Z").unwrap());
    let bench = Bench { cx: super::cx(clock), ..Bench::new() };
    let web = subject("web", "app");
    for size in 1..20 {
        bench.set("e", &["web/app"], &vec![b'x'; size * 1000]);
        assert_eq!(bench.read(&web, "e").await.unwrap().len(), size * 1000);
        assert_eq!(bench.read(&web, "e").await.unwrap().len(), size * 1000);
    }
    let good = std::fs::read(bench.file()).unwrap();
    std::fs::write(bench.file(), &good[..good.len() - 1]).unwrap();
    assert_eq!(refused(bench.read(&web, "e").await).reason, Reason::Setup);
    std::fs::write(bench.file(), &good).unwrap();
    assert!(bench.read(&web, "e").await.is_ok());
    chmod(&bench.identity(), 0o644);
    assert_eq!(refused(bench.read(&web, "e").await).reason, Reason::Setup);
    chmod(&bench.identity(), 0o600);
    assert!(bench.read(&web, "e").await.is_ok());
}

#[tokio::test]
async fn a_file_that_turns_bad_is_an_error_until_it_is_good_again() {
    let bench = Bench::new();
    let web = subject("web", "app");
    bench.set("e", &["web/app"], b"v");
    let good = std::fs::read(bench.file()).unwrap();
    let session = bench.session(&web).await.unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"v");
    std::fs::write(bench.file(), &good[..good.len() - 1]).unwrap();
    // A session from before the change does not help either.
    for _ in 0..2 {
        let answers = bench.local.fetch(&bench.cx, &session, &access(), &[newest("e"), newest("e")]).await;
        assert_eq!(answers.len(), 2);
        for answer in answers {
            let problem = answer.err().unwrap().problem;
            assert_eq!(problem.reason, Reason::Setup);
            assert_eq!(problem.place.hop.as_deref(), bench.file().to_str());
        }
    }
    std::fs::write(bench.file(), &good).unwrap();
    assert_eq!(bench.read(&web, "e").await.unwrap(), b"v");
}

#[tokio::test]
async fn the_identity_is_watched_like_the_store() {
    let bench = Bench::new();
    let web = subject("web", "app");
    bench.set("e", &["web/app"], b"v");
    assert!(bench.read(&web, "e").await.is_ok());
    chmod(&bench.identity(), 0o644);
    assert_eq!(refused(bench.read(&web, "e").await).reason, Reason::Setup);
    chmod(&bench.identity(), 0o600);
    assert!(bench.read(&web, "e").await.is_ok());
    std::fs::remove_file(bench.identity()).unwrap();
    assert_eq!(refused(bench.read(&web, "e").await).reason, Reason::Setup);
}

#[tokio::test]
async fn files_that_appear_after_the_start_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (file, identity) = (folder.path().join("s"), folder.path().join("k"));
    let local = super::local(&file, &identity, None);
    let cx = super::cx(Clock::system());
    let web = subject("web", "app");
    assert!(local.authenticate(&cx, &access(), Proof::Subject(&web)).await.is_err());
    Keeper::init(&file, &identity).unwrap();
    assert!(local.authenticate(&cx, &access(), Proof::Subject(&web)).await.is_ok());
}

#[tokio::test]
async fn a_mounted_kubernetes_secret_is_followed_through_its_links() {
    let bench = Bench::new();
    let web = subject("web", "app");
    bench.set("e", &["web/app"], b"old");
    let mount = bench.folder.path().join("mount");
    let publish = |name: &str| {
        let data = mount.join(name);
        std::fs::create_dir_all(&data).unwrap();
        std::fs::copy(bench.file(), data.join("store.age")).unwrap();
        std::os::unix::fs::symlink(name, mount.join("..data_tmp")).unwrap();
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    publish("..2026_1");
    std::os::unix::fs::symlink("..data/store.age", mount.join("store.age")).unwrap();
    let linked = Bench { local: super::local(&mount.join("store.age"), &bench.identity(), None), ..bench };
    assert_eq!(linked.read(&web, "e").await.unwrap(), b"old");
    linked.set("e", &[], b"new");
    let data = mount.join("..2026_2");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::copy(linked.file(), data.join("store.age")).unwrap();
    std::os::unix::fs::symlink("..2026_2", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    assert_eq!(linked.read(&web, "e").await.unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mounts_at_the_same_moment_wait_for_one_decryption() {
    let bench = Arc::new(Bench::new());
    bench.set("big", &["web/app"], &vec![b'x'; 1 << 20]);
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let bench = bench.clone();
        tasks.push(tokio::spawn(async move {
            let answers = bench.fetch(&subject("web", "app"), &[newest("big")]).await;
            answers.into_iter().next().unwrap().unwrap()
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    // All answers live, so that one address means one buffer, and one buffer one decryption.
    let first = all[0].parts[0].body.expose().as_ptr();
    assert!(all.iter().all(|material| std::ptr::eq(material.parts[0].body.expose().as_ptr(), first)));
}
