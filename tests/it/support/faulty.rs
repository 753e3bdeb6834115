//! A store around a store: what is asked for below `fault/` goes wrong in the way that the path says, at the joint
//! where every store of ours meets the engine.
//!
//! | path | what happens |
//! |---|---|
//! | `fault/REASON` | that reason, by its label |
//! | `fault/hang` | no answer, ever |
//! | `fault/slow-MS` | an answer after that many milliseconds |
//! | `fault/panic` | a panic whose message is a canary |
//! | `fault/block-SECONDS` | the thread of the runtime is blocked |
//! | `fault/short` | fewer answers than questions |
//! | `fault/size-BYTES` | that many bytes |

#![allow(
    dead_code,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "the example uses all but the canary, the suite the canary; to go wrong is the point"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use latchkey::error::{Fault, Problem, Reason};
use latchkey::model::{Access, Kind, Locator, Material, Part};
use latchkey::secret::Secret;
use latchkey::store::{Cx, Manners, Proof, Scope, Session, Store};

/// What a panic says, and no output may ever hold.
pub(crate) const CANARY: &str = "canary-8d2f1c-panic-payload";

/// Puts the faults around a store.
pub(crate) fn around(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(Faulty(inner))
}

struct Faulty(Arc<dyn Store>);

impl Store for Faulty {
    fn scope(&self, access: &Access) -> Scope {
        self.0.scope(access)
    }

    fn manners(&self) -> Manners {
        self.0.manners()
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        access: &'a Access,
        proof: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        self.0.authenticate(cx, access, proof)
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        async move {
            let mut answers = Vec::new();
            for locator in wanted {
                let path = locator.to_string();
                match path.strip_prefix("fault/") {
                    Some("short") => {}
                    Some(fault) => answers.push(go_wrong(cx, fault).await),
                    None => {
                        answers.extend(self.0.fetch(cx, session, access, std::slice::from_ref(locator)).await)
                    }
                }
            }
            answers
        }
        .boxed()
    }
}

async fn go_wrong(cx: &Cx, fault: &str) -> Result<Material, Fault> {
    let number = |text: &str| text.parse::<u64>().expect("the fault's number");
    tracing::info!(fault, "a fault begins");
    if let Some(reason) = Reason::ALL.into_iter().find(|reason| reason.label() == fault) {
        return Err(Fault::never(Problem::new(reason, "the store was told to fail")));
    }
    match fault.split_once('-').unwrap_or((fault, "")) {
        ("hang", _) => std::future::pending().await,
        ("slow", ms) => cx.clock.sleep(Duration::from_millis(number(ms))).await,
        ("panic", _) => panic!("{CANARY}"),
        ("block", seconds) => std::thread::sleep(Duration::from_secs(number(seconds))),
        ("size", bytes) => return Ok(material(vec![b'x'; usize::try_from(number(bytes)).expect("fits")])),
        _ => panic!("there is no fault `{fault}`"),
    }
    Ok(material(b"at last".to_vec()))
}

fn material(bytes: Vec<u8>) -> Material {
    let part = Part { version: None, body: Secret::new(bytes.into()), fields: BTreeMap::new() };
    Material { parts: vec![part], kind: Kind::Static }
}
