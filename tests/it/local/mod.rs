//! The embedded store: fixtures, and one file per concern.

mod bad_input;
mod commands;
mod interoperation;
mod keeping;
mod killing;
mod reading;
mod reloading;
mod token;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use latchkey::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use latchkey::clock::Clock;
use latchkey::error::Problem;
use latchkey::model::locator::local as nouns;
use latchkey::model::{Access, AccountName, Locator, Material, Namespace, StoreName, Subject};
use latchkey::room::Room;
use latchkey::secret::DigestKey;
use latchkey::store::local::{Config, Local, Verify};
use latchkey::store::{Cx, Proof, Session, Store as _};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// A store in a folder of its own, its keeper, and the agent's view of it.
struct Bench {
    folder: TempDir,
    keeper: Keeper,
    local: Local,
    cx: Cx,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, identity) = (folder.path().join("store.age"), folder.path().join("key.txt"));
        let (keeper, _) = Keeper::init(&file, &identity).unwrap();
        let local = local(&file, &identity, None);
        Self { folder, keeper, local, cx: cx(Clock::system()) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("store.age")
    }

    fn identity(&self) -> PathBuf {
        self.folder.path().join("key.txt")
    }

    /// The identity as age knows it.
    fn key(&self) -> age::x25519::Identity {
        let text = std::fs::read_to_string(self.identity()).unwrap();
        text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().parse().unwrap()
    }

    /// Puts a store of this plaintext in place of the keeper's, as age's own tools would.
    fn seal(&self, plain: &str) {
        std::fs::write(self.file(), age::encrypt(&self.key().to_public(), plain.as_bytes()).unwrap())
            .unwrap();
    }

    fn set(&self, path: &str, readers: &[&str], bytes: &[u8]) {
        let content = Content::Value(Zeroizing::new(bytes.to_vec()));
        self.keeper.set(&entry(path), &adding(readers), Some(content)).unwrap();
    }

    async fn session(&self, subject: &Subject) -> Result<Session, Problem> {
        let proof = Proof::Subject(subject);
        self.local.authenticate(&self.cx, &access(), proof).await.map_err(|fault| fault.problem)
    }

    async fn fetch(&self, subject: &Subject, wanted: &[Locator]) -> Vec<Result<Material, Problem>> {
        let session = self.session(subject).await.unwrap();
        let answers = self.local.fetch(&self.cx, &session, &access(), wanted).await;
        answers.into_iter().map(|answer| answer.map_err(|fault| fault.problem)).collect()
    }

    /// The bytes of one entry, or the problem.
    async fn read(&self, subject: &Subject, path: &str) -> Result<Vec<u8>, Problem> {
        let session = self.session(subject).await?;
        let answers = self.local.fetch(&self.cx, &session, &access(), &[newest(path)]).await;
        let [answer] = <[_; 1]>::try_from(answers).ok().unwrap();
        answer.map(|material| whole(&material)).map_err(|fault| fault.problem)
    }
}

fn local(file: &Path, identity: &Path, verify: Option<Verify>) -> Local {
    let name = StoreName::parse("local").unwrap();
    Local::new(Config { name, file: file.to_owned(), identity: identity.to_owned(), verify })
}

fn cx(clock: Clock) -> Cx {
    Cx {
        clock,
        deadline: clock.now() + Duration::from_secs(60),
        digests: std::sync::Arc::new(DigestKey::new(&[7; 32])),
        claim: Room::new(1 << 20).claim(),
    }
}

fn access() -> Access {
    Access::Local(nouns::Access { store: StoreName::parse("local").unwrap(), audience: None })
}

fn subject(namespace: &str, account: &str) -> Subject {
    let (namespace, account) = (Namespace::parse(namespace).unwrap(), AccountName::parse(account).unwrap());
    Subject { namespace, account, pod: None }
}

fn entry(path: &str) -> EntryPath {
    EntryPath::parse(path).unwrap()
}

fn newest(path: &str) -> Locator {
    Locator::Local(nouns::Locator { path: entry(path), version: None })
}

fn pinned(path: &str, version: u64) -> Locator {
    Locator::Local(nouns::Locator { path: entry(path), version: Some(version) })
}

fn adding(readers: &[&str]) -> Readers {
    Readers { clear: false, add: readers.iter().map(|text| Reader::parse(text).unwrap()).collect() }
}

fn fields(fields: &[(&str, &[u8])]) -> Content {
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.to_vec()))).collect();
    Content::Fields(fields)
}

fn whole(material: &Material) -> Vec<u8> {
    material.parts[0].body.expose().to_vec()
}

/// What a `Result` whose good half cannot be printed failed with.
fn refused<T>(result: Result<T, Problem>) -> Problem {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(problem) => problem,
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
