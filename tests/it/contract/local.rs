//! The embedded store keeps the contract, with an issuer whose tokens it asks for.

use latchkey::app::local::{Content, EntryPath, Keeper, Reader, Readers};
use latchkey::model::locator::{local, vault};
use latchkey::model::{Access, Audience, Locator, StoreName};
use latchkey::store::Store;
use latchkey::store::local::{Config, Local, Verify};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{Backend, Identity, Who};
use crate::support::issuer::{AUDIENCE, ISSUER, Issuer, claims};

pub(super) struct Embedded {
    _folder: TempDir,
    keeper: Keeper,
    issuer: Issuer,
    store: Local,
}

impl Embedded {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (keeper, _) = Keeper::init(&at("store.age"), &at("key.txt")).unwrap();
        let issuer = Issuer::new();
        std::fs::write(at("jwks.json"), issuer.jwks()).unwrap();
        let audience = Audience::new(AUDIENCE);
        let store = Local::new(Config {
            name: name(),
            file: at("store.age"),
            identity: at("key.txt"),
            verify: Some(Verify { issuer: ISSUER.to_owned(), jwks: at("jwks.json"), audience }),
        });
        Self { _folder: folder, keeper, issuer, store }
    }
}

impl Backend for Embedded {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn put(&self, path: &str, fields: &[(&str, &str)]) {
        let readers: &[&str] =
            if path.starts_with("app/") { &["web/app", "web/app-too"] } else { &["web/other"] };
        let readers = readers.iter().map(|text| Reader::parse(text).unwrap()).collect();
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.as_bytes().to_vec())))
            .collect();
        let readers = Readers { clear: true, add: readers };
        self.keeper.set(&EntryPath::parse(path).unwrap(), &readers, Some(Content::Fields(fields))).unwrap();
    }

    fn locator(&self, path: &str) -> Locator {
        Locator::Local(local::Locator { path: EntryPath::parse(path).unwrap(), version: None })
    }

    fn identity(&self, who: Who) -> Identity {
        let issuer = if who == Who::Nobody { &Issuer::new() } else { &self.issuer };
        let access = Access::Local(local::Access { store: name(), audience: Some(Audience::new(AUDIENCE)) });
        Identity::new(who.account(), issuer.sign(&claims(who.account())), access)
    }

    fn foreign(&self) -> Locator {
        Locator::Vault(vault::Locator { method: vault::GET.into(), path: "secret/data/x".into(), args: None })
    }
}

fn name() -> StoreName {
    StoreName::parse("local").unwrap()
}

super::contract!(Embedded::new());
