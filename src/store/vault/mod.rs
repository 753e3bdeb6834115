//! Vault and OpenBao: a login with the pod's token at a kubernetes or jwt auth mount, reads of any path, and what keeps
//! or ends what was issued. One client for both servers. A request follows `login.rs` or `read.rs` → `server.rs` → `net`;
//! its reply goes through `model::go::json` and `envelope.rs` to `material.rs`, or to `refusal.rs`.

mod envelope;
mod lease;
mod login;
mod material;
mod read;
mod refusal;
mod server;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use self::server::Server;
use super::{Cx, Manners, Proof, Renew, Revoke, Scope, Session, Store};
use crate::error::{Fault, Problem, Reason};
use crate::model::{Access, Grant, Locator, Material};
use crate::net::Net;

/// All servers of this kind: an access says which.
pub struct Vault {
    net: Arc<Net>,
}

impl Vault {
    /// Connects to nothing yet.
    pub fn new(net: Arc<Net>) -> Self {
        Self { net }
    }

    fn server<'a>(&'a self, cx: &'a Cx, access: &'a Access) -> Result<Server<'a>, Fault> {
        match access {
            Access::Vault(access) => Ok(Server { net: &self.net, cx, access }),
            Access::Local(_) => Err(foreign()),
        }
    }
}

impl Store for Vault {
    fn scope(&self, _: &Access) -> Scope {
        Scope::Pod
    }

    fn manners(&self) -> Manners {
        Manners { batch: 1, fresh: FRESH }
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        access: &'a Access,
        proof: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        Box::pin(async move {
            match proof {
                Proof::Token(token, subject) => self.server(cx, access)?.log_in(token, subject).await,
                Proof::Publish(_) | Proof::Subject(_) | Proof::Node => Err(foreign()),
            }
        })
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        let one = async move |wanted: &Locator| match wanted {
            Locator::Vault(wanted) => self.server(cx, access)?.read(session, wanted).await,
            Locator::Local(_) => Err(foreign()),
        };
        Box::pin(async move { join_all(wanted.iter().map(one)).await })
    }

    fn renew<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        what: Renew<'a>,
    ) -> BoxFuture<'a, Result<Grant, Fault>> {
        Box::pin(async move { self.server(cx, access)?.renew(session, what).await })
    }

    fn revoke<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        what: Revoke<'a>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.server(cx, access)?.revoke(session, what).await })
    }
}

fn foreign() -> Fault {
    Fault::never(Problem::new(Reason::Bug, "a Vault store was asked for another store's object"))
}

/// How old an object may be where nobody says.
const FRESH: Duration = Duration::from_secs(60);
