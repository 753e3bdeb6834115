use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::app::versions::{Source, Versions};
use latchkey::clock::{Clock, Wall};
use latchkey::model::VersionKey;

use super::api::ApiServer;
use super::here;
use crate::testkit::{Held, held};

const NAME: &str = "latchkey-version-key";

/// The keys that were taken, each by what it makes of one text.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<String>>>);

impl Taken {
    fn take(&self) -> impl Fn(VersionKey) + Sync + Send + use<> {
        let taken = Arc::clone(&self.0);
        move |key| taken.lock().unwrap().push(shown(&key))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn shown(key: &VersionKey) -> String {
    key.0.digest(&[b"text"]).to_string()
}

/// Looks after the key in a Secret, with the longest pauses that chance allows.
async fn of_secret(api: &ApiServer, held: &Held, taken: &Taken) -> Versions {
    let source = Source::Secret { cluster: Arc::new(here(api, held.clock)), name: NAME.to_owned(), lag: 1.0 };
    let mut versions = Versions::new(source, held.clock);
    let deadline = held.clock.now() + Duration::from_secs(3);
    let take = taken.take();
    held.drive(Duration::from_secs(5), versions.begin(deadline, &take)).await.0.expect("the start goes on");
    versions
}

#[tokio::test]
async fn a_secret_that_is_deleted_is_another_key_within_a_minute_and_is_seldom_asked_for() {
    let (api, taken) = (ApiServer::start(), Taken::default());
    let held = held().beside(&api.kit);
    let versions = of_secret(&api, &held, &taken).await;
    assert_eq!(taken.all().len(), 1, "the first mounts had no key");
    let follow = tokio::spawn(versions.follow(taken.take()));
    held.elapse(Duration::from_secs(200)).await;
    let asked = api.kit.requests();
    assert!((2 + 3..=2 + 6).contains(&asked), "{asked} calls in 200 s");
    assert_eq!(taken.all().len(), 1, "the same key was taken again");
    api.state().secrets.clear();
    held.elapse(Duration::from_secs(60)).await;
    let keys = taken.all();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    follow.abort();
}

#[tokio::test]
async fn while_the_api_server_is_away_the_last_key_goes_on_and_no_start_waits_long() {
    let (api, taken) = (ApiServer::start(), Taken::default());
    let held = held().beside(&api.kit);
    api.state().away = true;
    let versions = of_secret(&api, &held, &taken).await;
    let follow = tokio::spawn(versions.follow(taken.take()));
    held.elapse(Duration::from_secs(30)).await;
    assert!(taken.all().is_empty());
    api.state().away = false;
    held.elapse(Duration::from_secs(25)).await;
    assert_eq!(taken.all().len(), 1, "it was not asked again");
    api.state().away = true;
    held.elapse(Duration::from_secs(120)).await;
    api.state().away = false;
    held.elapse(Duration::from_secs(60)).await;
    assert_eq!(taken.all().len(), 1, "an outage changed the key");
    follow.abort();
}

fn write(path: &Path, key: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, key).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o400)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_key_file_is_taken_anew_when_it_changes_and_a_bad_one_is_not() {
    let (folder, taken) = (tempfile::tempdir().unwrap(), Taken::default());
    let (path, clock) = (folder.path().join("key"), Clock::paused(Wall::from_seconds(1_700_000_000)));
    write(&path, "0123456789abcdef");
    let mut versions = Versions::new(Source::File(path.clone()), clock);
    let first = shown(&versions.initial().unwrap());
    let follow = tokio::spawn(versions.follow(taken.take()));
    clock.sleep(Duration::from_secs(60)).await;
    assert!(taken.all().is_empty(), "the same key was taken again");
    write(&path, "too short");
    clock.sleep(Duration::from_secs(11)).await;
    std::fs::remove_file(&path).unwrap();
    clock.sleep(Duration::from_secs(11)).await;
    assert!(taken.all().is_empty());
    write(&path, "another key of 26 letters.");
    clock.sleep(Duration::from_secs(11)).await;
    write(&path, "0123456789abcdef");
    clock.sleep(Duration::from_secs(11)).await;
    let keys = taken.all();
    assert!(keys.len() == 2 && keys[0] != first && keys[1] == first, "{keys:?}");
    follow.abort();
}
