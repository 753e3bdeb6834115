//! Who may read an entry. Deny by default: an entry without readers is readable by nobody.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::model::{AccountName, Namespace};

/// Service accounts that may read an entry: `NAMESPACE/SERVICEACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    namespace: Box<str>,
    account: Box<str>,
}

impl Reader {
    /// The rule in words.
    pub const RULE: &'static str = "a reader is `NAMESPACE/SERVICEACCOUNT`; the namespace may end in `*`, and the service account may be `*`";

    /// `None` where the text breaks [`Self::RULE`].
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, account) = text.split_once('/')?;
        Self::new(namespace, account)
    }

    fn new(namespace: &str, account: &str) -> Option<Self> {
        let stem = namespace.strip_suffix('*');
        let namespace_ok = stem == Some("") || Namespace::parse(stem.unwrap_or(namespace)).is_some();
        let account_ok = account == "*" || AccountName::parse(account).is_some();
        (namespace_ok && account_ok).then(|| Self { namespace: namespace.into(), account: account.into() })
    }

    /// Whether this account is meant.
    pub fn matches(&self, namespace: &str, account: &str) -> bool {
        let namespace_meant = match self.namespace.strip_suffix('*') {
            Some(stem) => namespace.starts_with(stem),
            None => *self.namespace == *namespace,
        };
        namespace_meant && (&*self.account == "*" || *self.account == *account)
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.account)
    }
}

impl Serialize for Reader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reader = serializer.serialize_struct("Reader", 2)?;
        reader.serialize_field("namespace", &self.namespace)?;
        reader.serialize_field("serviceAccount", &self.account)?;
        reader.end()
    }
}

impl<'de> Deserialize<'de> for Reader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            namespace: String,
            #[serde(rename = "serviceAccount")]
            account: String,
        }
        let Raw { namespace, account } = Raw::deserialize(deserializer)?;
        Self::new(&namespace, &account).ok_or_else(|| de::Error::custom("reader"))
    }
}
