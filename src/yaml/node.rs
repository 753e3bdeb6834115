//! The nodes of the tree, and the few readings of a scalar that every dialect shares.

use std::sync::Arc;
use std::time::Duration;

/// A node, and where it starts.
#[derive(Clone, Debug)]
pub struct Node {
    /// Line and column from 1. An alias stands where the alias is written; what is inside it, where the anchor is.
    pub at: (u32, u32),
    /// Its content.
    pub value: Value,
}

/// The content of a node. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Value {
    /// A piece of text.
    Scalar(Scalar),
    /// A list.
    Sequence(Arc<[Node]>),
    /// Keys and values in the order written. Every key is a scalar, and no two have the same text.
    Mapping(Arc<[(Node, Node)]>),
}

/// A piece of text: quotes, escapes and line folding undone, nothing else resolved.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The text.
    pub text: Arc<str>,
    /// How it was written.
    pub style: Style,
    /// Its tag in full (`tag:yaml.org,2002:str` for `!!str`), where one is written. Tags of lists and mappings are
    /// not kept.
    pub tag: Option<Arc<str>>,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In `'…'`.
    Single,
    /// In `"…"`.
    Double,
    /// As a `|` block.
    Literal,
    /// As a `>` block.
    Folded,
}

impl Scalar {
    /// Its text, where the rules for plain scalars hold: without quotes, and without a tag that says otherwise.
    fn plain(&self, kind: &str) -> Option<&str> {
        let core = |tag: &Arc<str>| tag.strip_prefix("tag:yaml.org,2002:") == Some(kind);
        (self.style == Style::Plain && self.tag.as_ref().is_none_or(core)).then_some(&*self.text)
    }
}

impl Node {
    pub(super) fn null(at: (u32, u32)) -> Self {
        Self { at, value: Value::Scalar(Scalar { text: "".into(), style: Style::Plain, tag: None }) }
    }

    /// Whether it is nothing: an empty plain scalar, `~`, `null`, `Null` or `NULL`.
    pub fn is_null(&self) -> bool {
        let Value::Scalar(scalar) = &self.value else { return false };
        matches!(scalar.plain("null"), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of any scalar that is not null, whatever it looks like.
    pub fn text(&self) -> Option<&str> {
        let Value::Scalar(scalar) = &self.value else { return None };
        (!self.is_null()).then_some(&*scalar.text)
    }

    /// A boolean of YAML 1.2: plain `true`, `false`, with a capital or all in capitals. `yes` and `on` are text.
    pub fn bool(&self) -> Option<bool> {
        let Value::Scalar(scalar) = &self.value else { return None };
        match scalar.plain("bool")? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// A duration: a whole number with `ms`, `s`, `m` or `h` behind it, or `0`.
    pub fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        match &text[digits..] {
            "" if number == 0 => Some(Duration::ZERO),
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            _ => None,
        }
    }

    /// The entries of a list.
    pub fn sequence(&self) -> Option<&[Self]> {
        if let Value::Sequence(entries) = &self.value { Some(entries) } else { None }
    }

    /// The keys and values of a mapping, as written.
    pub fn mapping(&self) -> Option<&[(Self, Self)]> {
        if let Value::Mapping(pairs) = &self.value { Some(pairs) } else { None }
    }

    /// The value of a key; `None` where this is no mapping or has no such key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let is = |name: &Self| matches!(&name.value, Value::Scalar(scalar) if &*scalar.text == key);
        self.mapping()?.iter().find(|(name, _)| is(name)).map(|(_, value)| value)
    }

    /// What it is, in a word for errors.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "a mapping",
            Value::Sequence(_) => "a list",
            Value::Scalar(_) if self.is_null() => "nothing",
            Value::Scalar(_) => "text",
        }
    }
}
