//! Vault's store before a real OpenBao server keeps the contract.

use latchkey::model::Locator;
use latchkey::model::locator::local::{self, EntryPath};
use latchkey::store::Store;
use latchkey::store::vault::Vault;
use serde_json::{Value, json};

use super::bed::{Bed, bed};
use super::cluster::forged;
use super::store::{access, locator, vault};
use crate::contract::{Backend, Identity, Who, contract, promises};

struct Real {
    bed: &'static Bed,
    store: Vault,
}

impl Real {
    async fn new() -> Self {
        Self { bed: bed().await, store: vault() }
    }
}

impl Backend for Real {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn put(&self, path: &str, fields: &[(&str, &str)]) {
        let data: Value = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.bed.admin.write(&format!("secret/data/{path}"), json!({ "data": data })).await;
    }

    fn locator(&self, path: &str) -> Locator {
        locator(&format!("secret/data/{path}"))
    }

    fn identity(&self, who: Who) -> Identity {
        let (bed, account) = (self.bed, who.account());
        let jwt = if who == Who::Nobody {
            forged(&bed.cluster.claims(account))
        } else {
            bed.cluster.token(account)
        };
        let role = if who == Who::Other { "other" } else { "app" };
        Identity::new(account, jwt, access(bed.server.endpoint(), role))
    }

    fn foreign(&self) -> Locator {
        Locator::Local(local::Locator { path: EntryPath::parse("app/x").unwrap(), version: None })
    }
}

contract!(Real::new().await);
promises! { Real::new().await; an_ended_session_asks_for_another_login }
