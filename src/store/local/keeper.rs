//! Keeps a store's file: makes it, sets and removes entries, lists them without their values, changes its key. One
//! writer at a time, each change whole on disk or not at all, and no plaintext ever there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use super::disk::{self, Claim, Role, Source};
use super::document::{self, Document, Entry, Version};
use super::seal::{self, Identities};
use crate::clock::Clock;
use crate::error::{Problem, Reason};
use crate::secret::Secret;
use crate::text::nearest;

pub use super::disk::FILE_BYTES_MAX;
pub use super::document::{ENTRIES_MAX, FIELD_BYTES_MAX, VALUE_BYTES_MAX, VERSIONS_MAX};
pub use super::reader::Reader;
pub use crate::model::locator::local::EntryPath;

/// A store's file, and the identity that opens it.
pub struct Keeper {
    store: Source,
    identity: Source,
    clock: Clock,
}

/// What a new version holds.
pub enum Content {
    /// One value.
    Value(Zeroizing<Vec<u8>>),
    /// Values by name, each UTF-8.
    Fields(BTreeMap<String, Zeroizing<Vec<u8>>>),
}

/// What becomes of an entry's readers.
#[derive(Clone, Debug, Default)]
pub struct Readers {
    /// Whether those that there are go first.
    pub clear: bool,
    /// Those that join.
    pub add: Vec<Reader>,
}

/// One entry, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path.
    pub path: EntryPath,
    /// Who may read it.
    pub readers: Vec<Reader>,
    /// Its versions, the oldest first.
    pub versions: Vec<RowVersion>,
}

/// One version of an entry, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowVersion {
    /// Its number.
    pub number: u64,
    /// When it was set, RFC 3339.
    pub created: String,
    /// The names of its fields; none where it is one value.
    pub fields: Vec<String>,
}

impl Keeper {
    /// Makes an identity file and an empty store, both 0600. The identity first: a store without one is lost.
    ///
    /// # Errors
    /// `setup` where either exists already, or cannot be written.
    pub fn init(file: &Path, identity: &Path) -> Result<(Self, String), Problem> {
        let keeper = Self::of(file, identity);
        let claim = Claim::new(file)?;
        if file.symlink_metadata().is_ok() {
            let what = "the store file exists already, and is never overwritten";
            return Err(keeper
                .store
                .at(Problem::new(Reason::Setup, what).remedy("use it as it is, or name another file")));
        }
        let (secret, recipient) = seal::generate();
        disk::create(identity, &secret)?;
        let sealed = sealed(&Document::new(vec![recipient.clone()]));
        if let Err(problem) = sealed.and_then(|sealed| claim.create(&sealed)) {
            // Nothing is encrypted to it, and it would stand in the way of the next attempt.
            let _ = fs::remove_file(identity);
            return Err(problem);
        }
        Ok((keeper, recipient))
    }

    /// A store that exists, and that the identity opens.
    ///
    /// # Errors
    /// `setup`: a file is missing, open to others, damaged, too large, or the identity is another store's.
    pub fn open(file: &Path, identity: &Path) -> Result<Self, Problem> {
        let keeper = Self::of(file, identity);
        keeper.read()?;
        Ok(keeper)
    }

    /// The keeper with another clock, for the times of versions.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds a version, or changes the readers, or both. Answers what the entry is like then.
    ///
    /// # Errors
    /// `invalid` for content over a bound or fields that are not text, `not_found` where there is neither content nor
    /// an entry, `setup` as for [`Self::open`].
    pub fn set(&self, path: &EntryPath, readers: &Readers, content: Option<Content>) -> Result<Row, Problem> {
        let content = content.map(checked).transpose()?;
        let created = self.clock.wall().to_string();
        self.change(|document| {
            if content.is_none() && !document.entries.contains_key(path) {
                return Err(self.absent(document, path));
            }
            if document.entries.len() >= ENTRIES_MAX && !document.entries.contains_key(path) {
                let what = format!("the store has {ENTRIES_MAX} entries, and takes no more");
                return Err(Problem::new(Reason::Invalid, what).remedy("remove some, or make another store"));
            }
            let entry = document.entries.entry(path.clone()).or_default();
            if readers.clear {
                entry.readers.clear();
            }
            entry.readers.extend(readers.add.iter().cloned());
            entry.readers.sort();
            entry.readers.dedup();
            if let Some(content) = content {
                entry.last += 1;
                entry.versions.push(Version { number: entry.last, created, content });
                let surplus = entry.versions.len().saturating_sub(VERSIONS_MAX);
                entry.versions.drain(..surplus);
            }
            Ok(row(path, entry))
        })
    }

    /// Every entry, by path, without its values.
    ///
    /// # Errors
    /// `setup` as for [`Self::open`].
    pub fn list(&self) -> Result<Vec<Row>, Problem> {
        let (document, _) = self.read()?;
        Ok(document.entries.iter().map(|(path, entry)| row(path, entry)).collect())
    }

    /// Removes an entry, or one of its versions; its number is not given again.
    ///
    /// # Errors
    /// `not_found`, `invalid` for the only version of an entry, `setup` as for [`Self::open`].
    pub fn remove(&self, path: &EntryPath, version: Option<u64>) -> Result<(), Problem> {
        self.change(|document| {
            let Some(entry) = document.entries.get_mut(path) else {
                return Err(self.absent(document, path));
            };
            let Some(number) = version else {
                document.entries.remove(path);
                return Ok(());
            };
            let Some(index) = entry.versions.iter().position(|version| version.number == number) else {
                let numbers: Vec<String> = entry.versions.iter().map(|v| v.number.to_string()).collect();
                let what = format!("the entry `{path}` has no version {number}");
                return Err(Problem::new(Reason::NotFound, what)
                    .remedy(format!("name one of {}", numbers.join(", "))));
            };
            if entry.versions.len() == 1 {
                let what = format!("{number} is the only version of `{path}`");
                return Err(Problem::new(Reason::Invalid, what).remedy("remove the whole entry"));
            }
            entry.versions.remove(index);
            Ok(())
        })
    }

    /// First half of a change of key: encrypts to the recipients that there are and to that of the new identity file,
    /// which is made, 0600, unless it is there from an attempt that broke off. Answers all recipients.
    ///
    /// # Errors
    /// `setup` as for [`Self::open`], or where the new file cannot be written or is no identity.
    pub fn rotate_key(&self, identity: &Path) -> Result<Vec<String>, Problem> {
        let new = Source::new(Role::Identity, identity);
        self.change(|document| {
            let joining = if new.path.symlink_metadata().is_ok() {
                let (_, bytes) = new.read()?;
                Identities::parse(&bytes).map_err(|problem| new.at(problem))?.recipients()
            } else {
                let (secret, recipient) = seal::generate();
                disk::create(identity, &secret)?;
                vec![recipient]
            };
            for recipient in joining {
                if !document.recipients.contains(&recipient) {
                    document.recipients.push(recipient);
                }
            }
            Ok(document.recipients.clone())
        })
    }

    /// Second half, once every agent has the new identity: drops every recipient but the keeper's own. Answers those.
    ///
    /// # Errors
    /// `setup` as for [`Self::open`].
    pub fn finish_rotation(&self) -> Result<Vec<String>, Problem> {
        self.write(|document, own| {
            document.recipients = own.recipients();
            Ok(document.recipients.clone())
        })
    }

    fn of(file: &Path, identity: &Path) -> Self {
        Self {
            store: Source::new(Role::Store, file),
            identity: Source::new(Role::Identity, identity),
            clock: Clock::system(),
        }
    }

    fn read(&self) -> Result<(Document, Identities), Problem> {
        let (_, sealed) = self.store.read()?;
        let (_, key) = self.identity.read()?;
        let own = Identities::parse(&key).map_err(|problem| self.identity.at(problem))?;
        let document = super::open(&self.store, &sealed, &self.identity, &key)?;
        Ok((document, own))
    }

    fn change<T>(&self, edit: impl FnOnce(&mut Document) -> Result<T, Problem>) -> Result<T, Problem> {
        self.write(|document, own| {
            // A file that was encrypted by hand may name others only, and would be shut to us from now on.
            if !own.recipients().iter().any(|own| document.recipients.contains(own)) {
                let what = "the store does not name the identity's own key among its recipients";
                return Err(self.store.at(Problem::new(Reason::Setup, what).remedy(
                    "name an identity that it was made for, or run `latchkey local rotate-key --finish`",
                )));
            }
            edit(document)
        })
    }

    fn write<T>(
        &self,
        edit: impl FnOnce(&mut Document, &Identities) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        // Not even a lock file appears beside a store that is not there.
        drop(self.store.read()?);
        let claim = Claim::new(&self.store.path)?;
        let (mut document, own) = self.read()?;
        let answer = edit(&mut document, &own)?;
        claim.replace(&sealed(&document).map_err(|problem| self.store.at(problem))?)?;
        Ok(answer)
    }

    fn absent(&self, document: &Document, path: &EntryPath) -> Problem {
        let problem = self.store.at(Problem::new(Reason::NotFound, format!("there is no entry `{path}`")));
        match nearest(path.as_str(), document.entries.keys().map(EntryPath::as_str)) {
            Some(near) => problem.remedy(format!("did you mean `{near}`?")),
            None => problem.remedy("see `latchkey local list`; a new entry needs a value"),
        }
    }
}

/// What the agent would refuse to read is not written in the first place.
fn sealed(document: &Document) -> Result<Vec<u8>, Problem> {
    let sealed = seal::seal(&document.to_json(), &document.recipients)?;
    if sealed.len() as u64 > FILE_BYTES_MAX {
        let what = format!("the store would have {} bytes, {FILE_BYTES_MAX} at most", sealed.len());
        return Err(
            Problem::new(Reason::TooLarge, what).remedy("remove entries or versions, or make another store")
        );
    }
    Ok(sealed)
}

fn checked(content: Content) -> Result<document::Content, Problem> {
    let content = match content {
        Content::Value(value) => document::Content::Value(Secret::new(value)),
        Content::Fields(fields) => {
            if let Some(name) = fields.keys().find(|name| !document::is_field_name(name)) {
                let what = "the name of a field is empty, longer than 253 bytes, or has a control character";
                return Err(Problem::new(Reason::Invalid, what)
                    .object(format!("field `{}`", crate::text::shorten(name, 64)))
                    .remedy("name it otherwise"));
            }
            let fields = fields.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
            document::Content::fields(fields).map_err(|name| {
                Problem::new(Reason::Invalid, "is not UTF-8, and fields are delivered as JSON text")
                    .object(format!("field `{name}`"))
                    .remedy("encode it, in base64 for instance, or make it a value of its own entry")
            })?
        }
    };
    if content.len() > VALUE_BYTES_MAX {
        let what = format!("has {} bytes, {VALUE_BYTES_MAX} at most", content.len());
        return Err(Problem::new(Reason::Invalid, what).object("the value").remedy("split it"));
    }
    Ok(content)
}

fn row(path: &EntryPath, entry: &Entry) -> Row {
    let version = |version: &Version| RowVersion {
        number: version.number,
        created: version.created.clone(),
        fields: match &version.content {
            document::Content::Value(_) => Vec::new(),
            document::Content::Fields { fields, .. } => fields.keys().cloned().collect(),
        },
    };
    Row {
        path: path.clone(),
        readers: entry.readers.clone(),
        versions: entry.versions.iter().map(version).collect(),
    }
}
