//! Vault's store before a real OpenBao server keeps the contract.

use latchkey::model::Locator;
use latchkey::model::locator::local::{self, EntryPath};
use latchkey::store::Store;
use latchkey::store::vault::Vault;
use serde_json::{Value, json};

use super::bed::bed;
use super::cluster::forged;
use super::store::{access, locator, vault};
use crate::contract::{Bed, Identity, Who, contract, promises};

struct Real(Vault);

impl Bed for Real {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    async fn put(&self, path: &str, fields: &[(&str, &str)]) {
        let data: Value = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        bed().admin.write(&format!("secret/data/{path}"), json!({ "data": data })).await;
    }

    fn locator(&self, path: &str) -> Locator {
        locator(&format!("secret/data/{path}"))
    }

    fn identity(&self, who: Who) -> Identity {
        let (bed, account) = (bed(), who.account());
        let jwt = if who == Who::Nobody {
            forged(&bed.cluster.claims(account))
        } else {
            bed.cluster.token(account)
        };
        let role = if who == Who::Other { "other" } else { "app" };
        Identity::new(account, jwt, access(&bed.url(), role))
    }

    fn foreign(&self) -> Locator {
        Locator::Local(local::Locator { path: EntryPath::parse("app/x").unwrap(), version: None })
    }
}

contract!(Real(vault()));
promises! { Real(vault()); an_ended_session_asks_for_another_login }
