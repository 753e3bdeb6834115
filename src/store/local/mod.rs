//! The embedded store: one file, encrypted with age to X25519 keys, whose entries name their readers. It has no backend
//! that could authorise, so it takes kubelet's word for who asks, and the pod's token where an issuer is configured.
//! `docs/local-store.md` describes the file; [`keeper`] writes it.

mod disk;
mod document;
pub mod keeper;
mod reader;
mod reload;
mod seal;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;

use self::disk::{Role, Source};
use self::document::{Content, Document, Entry};
use self::reload::Reloaded;
use super::{Authority, Cx, Manners, Proof, Scope, Session, Store};
use crate::clock::{Span, Wall};
use crate::error::{Fault, Problem, Reason};
use crate::model::locator::local::{EntryPath, Locator as Wanted};
use crate::model::{Access, Audience, Kind, Locator, Material, Part, StoreName, Subject, Token};
use crate::secret::Secret;
use crate::text::nearest;

/// Which files make up a store, and whose word counts.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is called.
    pub name: StoreName,
    /// The encrypted file.
    pub file: PathBuf,
    /// The file with the key that opens it.
    pub identity: PathBuf,
    /// Set where the pod's token must prove who asks.
    pub verify: Option<Verify>,
}

/// How the pod's token proves who asks.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The `iss` of the cluster's tokens.
    pub issuer: String,
    /// A file with the issuer's public keys, a JSON Web Key Set.
    pub jwks: PathBuf,
    /// The audience that the tokens are for.
    pub audience: Audience,
}

/// The store. Its files are looked at in every operation, and read again when they changed.
pub struct Local {
    name: StoreName,
    hop: String,
    document: Reloaded<Document>,
    verifier: Option<Verifier>,
}

struct Verifier {
    issuer: String,
    audience: Audience,
    keys: Reloaded<verify::Keys>,
}

impl Local {
    /// Reads nothing yet: a file that is missing now may be there for the first mount.
    pub fn new(config: Config) -> Self {
        let Config { name, file, identity, verify } = config;
        let hop = file.to_string_lossy().into_owned();
        let (file, identity) = (Source::new(Role::Store, &file), Source::new(Role::Identity, &identity));
        let document = Reloaded::new([file.clone(), identity.clone()], move |contents| match &contents[..] {
            [sealed, key] => open(&file, sealed, &identity, key),
            _ => Err(Problem::new(Reason::Bug, "a store is made of two files")),
        });
        let verifier = verify.map(|Verify { issuer, jwks, audience }| {
            let jwks = Source::new(Role::Keys, &jwks);
            let keys = Reloaded::new([jwks.clone()], move |contents| match &contents[..] {
                [set] => verify::Keys::parse(set).map_err(|problem| jwks.at(problem)),
                _ => Err(Problem::new(Reason::Bug, "an issuer's keys are one file")),
            });
            Verifier { issuer, audience, keys }
        });
        Self { name, hop, document, verifier }
    }

    async fn log_in(&self, cx: &Cx, proof: Proof<'_>) -> Result<Session, Problem> {
        let (subject, life) = match (&self.verifier, proof) {
            (None, Proof::Subject(subject) | Proof::Token(_, subject)) => (subject, None),
            (Some(verifier), Proof::Token(token, subject)) => {
                (subject, Some(verifier.end(cx, token, subject).await?))
            }
            (Some(verifier), Proof::Subject(_)) => {
                let what = format!("the store `{}` wants the pod's token, and there is none", self.name);
                let remedy = format!(
                    "add `- audience: \"{}\"` to `tokenRequests` of the CSIDriver object",
                    verifier.audience
                );
                return Err(Problem::new(Reason::Setup, what).remedy(remedy));
            }
            (_, Proof::Publish(_) | Proof::Node) => {
                return Err(Problem::new(Reason::Bug, "a local store serves service accounts only"));
            }
        };
        self.document.current(&cx.clock).await?;
        let (namespace, account) = (subject.namespace.as_str(), subject.account.as_str());
        let identity: [&[u8]; 4] =
            [b"local", self.name.as_str().as_bytes(), namespace.as_bytes(), account.as_bytes()];
        let from = cx.clock.now();
        let left = |end: Wall| end.seconds().saturating_sub(cx.clock.wall().seconds());
        let seconds = life.map(|end| u64::try_from(left(end)).unwrap_or(0));
        Ok(Session {
            credential: Secret::from_text(subject.to_string()),
            authority: Authority(cx.digests.digest(&identity)),
            life: Span { from, until: seconds.map(|left| from + Duration::from_secs(left)) },
        })
    }

    async fn read(&self, cx: &Cx, session: &Session, wanted: &[Locator]) -> Vec<Result<Material, Fault>> {
        let who = std::str::from_utf8(session.credential.expose()).ok().and_then(|who| who.split_once('/'));
        let document = match (who, self.document.current(&cx.clock).await) {
            (Some(who), Ok(document)) => Ok((who, document)),
            (None, _) => Err(Problem::new(Reason::Bug, "the session is not of this store")),
            (_, Err(problem)) => Err(problem),
        };
        let one = |wanted: &Locator| {
            let Locator::Local(wanted) = wanted else {
                return Err(Problem::new(Reason::Bug, "a local store was asked for another store's object"));
            };
            let ((namespace, account), document) = document.as_ref().map_err(Clone::clone)?;
            material(document, namespace, account, wanted).map_err(|problem| problem.hop(&self.hop))
        };
        wanted.iter().map(|wanted| one(wanted).map_err(Fault::never)).collect()
    }
}

impl Store for Local {
    fn scope(&self, _: &Access) -> Scope {
        Scope::Account
    }

    fn manners(&self) -> Manners {
        Manners { batch: usize::MAX, fresh: Duration::ZERO }
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        _: &'a Access,
        proof: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        Box::pin(async move { self.log_in(cx, proof).await.map_err(Fault::never) })
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        _: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        Box::pin(self.read(cx, session, wanted))
    }
}

impl Verifier {
    async fn end(&self, cx: &Cx, token: &Token, subject: &Subject) -> Result<Wall, Problem> {
        let keys = self.keys.current(&cx.clock).await?;
        let now = cx.clock.wall();
        verify::verify(token.raw.expose(), &keys, &self.issuer, &self.audience, subject, now)
    }
}

fn open(file: &Source, sealed: &[u8], identity: &Source, key: &[u8]) -> Result<Document, Problem> {
    let key = seal::Identities::parse(key).map_err(|problem| identity.at(problem))?;
    seal::open(sealed, &key).and_then(|plain| Document::parse(&plain)).map_err(|problem| file.at(problem))
}

fn material(
    document: &Document,
    namespace: &str,
    account: &str,
    wanted: &Wanted,
) -> Result<Material, Problem> {
    let Some(entry) = document.entries.get(&wanted.path) else {
        return Err(absent(document, namespace, account, &wanted.path));
    };
    if !entry.readable(namespace, account) {
        let what = format!("`{namespace}/{account}` is not among the readers of `{}`", wanted.path);
        let remedy =
            format!("run `latchkey local set {} --reader {namespace}/{account}` to allow it", wanted.path);
        return Err(Problem::new(Reason::Forbidden, what).remedy(remedy));
    }
    let version = entry.version(wanted.version).ok_or_else(|| no_version(entry, wanted))?;
    let fields = match &version.content {
        Content::Value(_) => Default::default(),
        Content::Fields { fields, .. } => fields.clone(),
    };
    let part = Part { version: Some(version.number.to_string()), body: version.content.body(), fields };
    let kind = if wanted.version.is_some() { Kind::Pinned } else { Kind::Static };
    Ok(Material { parts: vec![part], kind })
}

/// Names a near path only where the account could read it: the others are not its business.
fn absent(document: &Document, namespace: &str, account: &str, path: &EntryPath) -> Problem {
    let readable = document.entries.iter().filter(|(_, entry)| entry.readable(namespace, account));
    let near = nearest(path.as_str(), readable.map(|(path, _)| path.as_str()));
    let problem = Problem::new(Reason::NotFound, format!("there is no entry `{path}`"));
    problem.remedy(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!(
                "add it with `latchkey local set {path} --reader {namespace}/{account} --value-file FILE`"
            )
        }
    })
}

fn no_version(entry: &Entry, wanted: &Wanted) -> Problem {
    let numbers: Vec<String> = entry.versions.iter().map(|version| version.number.to_string()).collect();
    Problem::new(Reason::NotFound, format!("there is no version of the entry `{wanted}`"))
        .remedy(format!("it has {}", numbers.join(", ")))
}
