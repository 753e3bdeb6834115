//! The strings of JSON as Go reads them: escapes, and what stands for bytes that are none of a text.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::Json;

/// A name or a string.
pub enum Text<'a> {
    /// As it stands in what was read.
    Borrowed(&'a str),
    /// With its escapes undone.
    Owned(Zeroizing<String>),
}

impl Text<'_> {
    /// Writes it as Go does.
    pub fn write(&self, out: &mut Json) {
        out.string(self);
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Borrowed("")
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

/// A string with escapes, or with bytes that are no UTF-8; `None` where an escape is none. The room is enough from the
/// start: text that grew would leave its old bytes behind.
pub(super) fn decode(raw: &[u8], is_utf8: bool) -> Option<Text<'static>> {
    let widest = if is_utf8 { 1 } else { REPLACEMENT_BYTES };
    let mut text = Zeroizing::new(String::with_capacity(raw.len() * widest));
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        let (plain, escape) = rest.split_at(at);
        push(&mut text, plain);
        let (c, taken) = unescape(escape)?;
        text.push(c);
        rest = escape.get(taken..).unwrap_or_default();
    }
    push(&mut text, rest);
    Some(Text::Owned(text))
}

/// Every byte that is no UTF-8 becomes one U+FFFD.
fn push(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// The character of an escape, and how many bytes it takes.
fn unescape(escape: &[u8]) -> Option<(char, usize)> {
    let plain = match escape.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(escape)?;
            let second = escape.get(6..).and_then(unit);
            return Some(match (char::from_u32(first), second) {
                (Some(c), _) => (c, 6),
                (None, Some(low @ 0xdc00..=0xdfff)) if first < 0xdc00 => {
                    let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00));
                    (c.unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                (None, _) => (char::REPLACEMENT_CHARACTER, 6),
            });
        }
        _ => return None,
    };
    Some((plain, 2))
}

/// The number of a `\uXXXX`.
fn unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// Length of U+FFFD, which stands for one byte.
const REPLACEMENT_BYTES: usize = 3;
