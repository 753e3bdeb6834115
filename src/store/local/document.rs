//! The plaintext of a store: a JSON document of entries, their versions and who may read them. Pure: bytes in, entries
//! out, and back. Values go from the buffer straight into [`Secret`]s, and an error tells a position and no content.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use zeroize::Zeroizing;

use super::reader::Reader;
use crate::clock::Wall;
use crate::error::{Problem, Reason};
use crate::model::locator::local::EntryPath;
use crate::secret::Secret;

/// What a document says of itself.
pub(super) const FORMAT: &str = "latchkey.local/v1";
/// Largest value of a version, in bytes; of one with fields, all of them together.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Most entries of a store.
pub const ENTRIES_MAX: usize = 10_000;
/// Most versions that are kept of an entry: the oldest goes when another comes.
pub const VERSIONS_MAX: usize = 10;
/// Longest name of a field, in bytes.
pub const FIELD_BYTES_MAX: usize = 253;

/// A whole store.
#[derive(serde::Serialize)]
pub(super) struct Document {
    format: &'static str,
    /// To whom the file is encrypted when it is written again.
    pub(super) recipients: Vec<String>,
    /// The entries by path.
    #[serde(serialize_with = "by_path")]
    pub(super) entries: BTreeMap<EntryPath, Entry>,
}

/// One entry.
#[derive(Default, serde::Serialize)]
pub(super) struct Entry {
    /// Who may read it; nobody where there are none.
    pub(super) readers: Vec<Reader>,
    /// The highest number that a version ever had: numbers are not given twice, so that a pinned one cannot change.
    pub(super) last: u64,
    /// Never empty in a document; numbers ascend.
    pub(super) versions: Vec<Version>,
}

/// One version of an entry: immutable.
#[derive(serde::Serialize)]
pub(super) struct Version {
    #[serde(rename = "version")]
    pub(super) number: u64,
    /// RFC 3339.
    pub(super) created: String,
    #[serde(flatten)]
    pub(super) content: Content,
}

/// What a version holds.
pub(super) enum Content {
    Value(Secret),
    Fields { fields: BTreeMap<String, Secret>, body: OnceLock<Secret> },
}

impl Document {
    pub(super) fn new(recipients: Vec<String>) -> Self {
        Self { format: FORMAT, recipients, entries: BTreeMap::new() }
    }

    /// Reads a document, all of it.
    pub(super) fn parse(plain: &[u8]) -> Result<Self, Problem> {
        // The format first and alone: what a later format holds would only confuse the message.
        let head: Head = serde_json::from_slice(plain).map_err(|error| unlike(&error))?;
        if head.format.as_deref() != Some(FORMAT) {
            let what = format!("the store's content is not of the format `{FORMAT}`");
            return Err(Problem::new(Reason::Setup, what).remedy("use the release of latchkey that wrote it"));
        }
        let raw: RawDocument = serde_json::from_slice(plain).map_err(|error| unlike(&error))?;
        Ok(Self { format: FORMAT, recipients: raw.recipients, entries: raw.entries.0 })
    }

    /// Writes a document into a buffer that never grew, so that no copy stays behind.
    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        json(self)
    }
}

impl Entry {
    /// The version of that number; without one, the newest.
    pub(super) fn version(&self, number: Option<u64>) -> Option<&Version> {
        match number {
            None => self.versions.last(),
            Some(number) => self.versions.iter().find(|version| version.number == number),
        }
    }

    /// Whether this account may read it.
    pub(super) fn readable(&self, namespace: &str, account: &str) -> bool {
        self.readers.iter().any(|reader| reader.matches(namespace, account))
    }
}

impl Content {
    /// Fields. The name of one that is not UTF-8 otherwise: the whole is delivered as a JSON object of strings.
    pub(super) fn fields(fields: BTreeMap<String, Secret>) -> Result<Self, String> {
        match fields.iter().find(|(_, value)| std::str::from_utf8(value.expose()).is_err()) {
            Some((name, _)) => Err(name.clone()),
            None => Ok(Self::Fields { fields, body: OnceLock::new() }),
        }
    }

    /// The whole: the value, or the fields as a compact JSON object, sorted by name.
    pub(super) fn body(&self) -> Secret {
        match self {
            Self::Value(value) => value.clone(),
            Self::Fields { fields, body } => body.get_or_init(|| Secret::new(json(&Texts(fields)))).clone(),
        }
    }

    /// Bytes of the value, or of all fields.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Value(value) => value.len(),
            Self::Fields { fields, .. } => fields.values().map(Secret::len).sum(),
        }
    }
}

/// Whether a field may be called so.
pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= FIELD_BYTES_MAX && !name.chars().any(char::is_control)
}

fn unlike(error: &serde_json::Error) -> Problem {
    let at = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Problem::new(Reason::Setup, format!("the store's content is not a `{FORMAT}` document"))
        .at((at(error.line()), at(error.column())))
        .remedy("restore the file from a backup, or make it anew with `latchkey local init`")
}

// === reading ===

#[derive(serde::Deserialize)]
struct Head {
    format: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    #[serde(rename = "format")]
    _format: de::IgnoredAny,
    recipients: Vec<String>,
    entries: Unique<EntryPath, Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    readers: Vec<Reader>,
    last: Option<u64>,
    versions: Vec<Version>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVersion {
    version: u64,
    created: String,
    value: Option<Encoded>,
    fields: Option<Unique<FieldName, Encoded>>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawEntry { readers, last, versions } = RawEntry::deserialize(deserializer)?;
        let newest = versions.last().map(|version| version.number);
        let ascending = versions.is_sorted_by(|a, b| a.number < b.number);
        match newest {
            Some(newest) if ascending && last.is_none_or(|last| last >= newest) => {
                Ok(Self { readers, last: last.unwrap_or(newest), versions })
            }
            _ => Err(de::Error::custom("versions")),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawVersion { version: number, created, value, fields } = RawVersion::deserialize(deserializer)?;
        let content = match (value, fields) {
            (Some(value), None) => Content::Value(value.0),
            (None, Some(fields)) => {
                let fields = fields.0.into_iter().map(|(name, value)| (name.0, value.0)).collect();
                Content::fields(fields).map_err(|_| de::Error::custom("fields"))?
            }
            _ => return Err(de::Error::custom("content")),
        };
        if number == 0 || Wall::parse(&created).is_none() || content.len() > VALUE_BYTES_MAX {
            return Err(de::Error::custom("version"));
        }
        Ok(Self { number, created, content })
    }
}

/// Base64 of bytes that nobody may print.
struct Encoded(Secret);

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Encoded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            // Borrowed only: text with escapes would have passed through a buffer of the parser that nobody zeroes.
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Encoded, E> {
                let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
                STANDARD.decode_vec(text, &mut bytes).map_err(|_| E::custom("base64"))?;
                Ok(Encoded(Secret::new(bytes)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct FieldName(String);

/// A key of an object in the document.
trait Key: Ord + Sized {
    const COUNT_MAX: usize;
    fn parse(text: &str) -> Option<Self>;
}

impl Key for EntryPath {
    const COUNT_MAX: usize = ENTRIES_MAX;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Key for FieldName {
    const COUNT_MAX: usize = VALUE_BYTES_MAX;

    fn parse(text: &str) -> Option<Self> {
        is_field_name(text).then(|| Self(text.to_owned()))
    }
}

/// An object whose keys are checked and come once.
struct Unique<K, V>(BTreeMap<K, V>);

impl<'de, K: Key, V: Deserialize<'de>> Deserialize<'de> for Unique<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Key, V: Deserialize<'de>> Visitor<'de> for Object<K, V> {
            type Value = Unique<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let key = K::parse(&key).ok_or_else(|| de::Error::custom("key"))?;
                    if all.len() == K::COUNT_MAX || all.insert(key, map.next_value()?).is_some() {
                        return Err(de::Error::custom("key"));
                    }
                }
                Ok(Unique(all))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

// === writing ===

/// Serialises twice, first only to count: a buffer that grows leaves copies of its content behind.
fn json(document: &impl Serialize) -> Zeroizing<Vec<u8>> {
    const WHY: &str = "these types serialise to any writer that takes all bytes";
    let mut count = Count(0);
    serde_json::to_writer(&mut count, document).expect(WHY);
    let mut bytes = Zeroizing::new(Vec::with_capacity(count.0));
    serde_json::to_writer(&mut *bytes, document).expect(WHY);
    bytes
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn by_path<S: Serializer>(entries: &BTreeMap<EntryPath, Entry>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(path, entry)| (path.as_str(), entry)))
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Value(value) => map.serialize_entry("value", &InBase64(value))?,
            Self::Fields { fields, .. } => map.serialize_entry("fields", &Fields(fields))?,
        }
        map.end()
    }
}

struct Fields<'a>(&'a BTreeMap<String, Secret>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, InBase64(value))))
    }
}

struct InBase64<'a>(&'a Secret);

impl Serialize for InBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0.expose(), &STANDARD))
    }
}

/// Fields as they are delivered: text, not base64.
struct Texts<'a>(&'a BTreeMap<String, Secret>);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Both ways into `Content::fields` refuse what is not UTF-8.
        serializer.collect_map(
            self.0
                .iter()
                .map(|(name, value)| (name, std::str::from_utf8(value.expose()).unwrap_or_default())),
        )
    }
}
