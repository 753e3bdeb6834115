//! JSON as Go's `encoding/json` reads it, which no library here does: numbers keep their text, the last of equal names wins, broken UTF-8
//! and lone surrogates become U+FFFD, and what follows the first value is looked at only where the whole text is asked for. Text without escapes is
//! borrowed; any other copy zeroes itself. Depth and count are bounded, so that a reply costs no more
//! than a few times its size.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::Json;

/// A value.
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A truth.
    Bool(bool),
    /// A number as it was received.
    Number(&'a str),
    /// A string.
    Text(Text<'a>),
    /// A list.
    List(Vec<Self>),
    /// An object: of equal names the last.
    Object(Object<'a>),
}

/// In the order in which Go writes it: by the bytes of its names.
pub type Object<'a> = BTreeMap<Text<'a>, Value<'a>>;

/// A name or a string.
pub enum Text<'a> {
    /// As it stands in what was read.
    Borrowed(&'a str),
    /// With its escapes undone.
    Owned(Zeroizing<String>),
}

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is no JSON, or it ends too early.
    Syntax,
    /// It is deeper, or has more values, than anything that a person wrote.
    Bounds,
}

/// The members of an object in their order, all of them.
pub type Members<'a> = Vec<(Text<'a>, Value<'a>)>;

/// What a text begins with.
pub enum First<'a> {
    /// An object, by its members.
    Object(Members<'a>),
    /// `null`.
    Null,
    /// Another value.
    Other,
}

/// The first value of a text. What follows it is not looked at.
///
/// # Errors
/// What keeps it from being read.
pub fn first(text: &[u8]) -> Result<First<'_>, Flaw> {
    Parser::new(text).first()
}

/// The one value of a text, with nothing but white space around it.
///
/// # Errors
/// What keeps it from being read, and behind how many bytes.
pub fn whole(text: &[u8]) -> Result<First<'_>, (Flaw, usize)> {
    let mut parser = Parser::new(text);
    let first = parser.first().and_then(|first| parser.end().map(|()| first));
    first.map_err(|flaw| (flaw, parser.at.min(text.len())))
}

impl<'a> Value<'a> {
    /// The object that it may be.
    pub fn object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The number that it may be, as it was received.
    pub fn number(&self) -> Option<&'a str> {
        if let Self::Number(text) = self { Some(text) } else { None }
    }

    /// Writes it as Go does.
    pub fn write(&self, out: &mut Json) {
        match self {
            Self::List(values) => write_list(out, values, Self::write),
            Self::Object(object) => write_object(out, object, Self::write),
            Self::Text(text) => text.write(out),
            Self::Null => word(out, "null"),
            Self::Bool(true) => word(out, "true"),
            Self::Bool(false) => word(out, "false"),
            Self::Number(text) => word(out, text),
        }
    }
}

fn word(out: &mut Json, word: &str) {
    out.raw(word);
}

/// A list of anything.
pub fn write_list<T>(out: &mut Json, values: &[T], write: fn(&T, &mut Json)) {
    out.raw("[");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.raw(",");
        }
        write(value, out);
    }
    out.raw("]");
}

/// An object of anything.
pub fn write_object<T>(out: &mut Json, object: &BTreeMap<Text<'_>, T>, write: fn(&T, &mut Json)) {
    out.raw("{");
    for (index, (name, value)) in object.iter().enumerate() {
        if index > 0 {
            out.raw(",");
        }
        out.string(name).raw(":");
        write(value, out);
    }
    out.raw("}");
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0, values: 0 }
    }

    fn first(&mut self) -> Result<First<'a>, Flaw> {
        self.space();
        if self.peek() == Some(b'{') {
            let mut all = Vec::new();
            self.object(|name, value| all.push((name, value)))?;
            return Ok(First::Object(all));
        }
        self.value().map(|value| if let Value::Null = value { First::Null } else { First::Other })
    }

    fn end(&mut self) -> Result<(), Flaw> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(Flaw::Syntax) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &[u8]) -> Result<(), Flaw> {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(wanted));
        self.at += wanted.len();
        if found { Ok(()) } else { Err(Flaw::Syntax) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Value<'a>, Flaw> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Flaw::Bounds);
        }
        self.space();
        match self.peek() {
            Some(b'{') => {
                let mut object = Object::new();
                self.object(|name, value| drop(object.insert(name, value)))?;
                Ok(Value::Object(object))
            }
            Some(b'[') => self.list(),
            Some(b'"') => self.string().map(Value::Text),
            Some(b't') => self.expect(b"true").map(|()| Value::Bool(true)),
            Some(b'f') => self.expect(b"false").map(|()| Value::Bool(false)),
            Some(b'n') => self.expect(b"null").map(|()| Value::Null),
            _ => self.number(),
        }
    }

    fn deeper(&mut self) -> Result<(), Flaw> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Flaw::Bounds) } else { Ok(()) }
    }

    fn object(&mut self, mut each: impl FnMut(Text<'a>, Value<'a>)) -> Result<(), Flaw> {
        self.deeper()?;
        self.expect(b"{")?;
        self.space();
        if !self.take(b'}') {
            loop {
                self.space();
                let name = self.string()?;
                self.space();
                self.expect(b":")?;
                let value = self.value()?;
                each(name, value);
                self.space();
                if self.take(b'}') {
                    break;
                }
                self.expect(b",")?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn list(&mut self) -> Result<Value<'a>, Flaw> {
        self.deeper()?;
        self.expect(b"[")?;
        let mut values = Vec::new();
        self.space();
        if !self.take(b']') {
            loop {
                values.push(self.value()?);
                self.space();
                if self.take(b']') {
                    break;
                }
                self.expect(b",")?;
            }
        }
        self.depth -= 1;
        Ok(Value::List(values))
    }

    fn number(&mut self) -> Result<Value<'a>, Flaw> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = self.text.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok());
        text.map(Value::Number).ok_or(Flaw::Syntax)
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Flaw::Syntax) }
    }

    fn string(&mut self) -> Result<Text<'a>, Flaw> {
        self.expect(b"\"")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek().ok_or(Flaw::Syntax)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..=0x1f => return Err(Flaw::Syntax),
                _ => self.at += 1,
            }
        }
        let raw = self.text.get(start..self.at).ok_or(Flaw::Syntax)?;
        self.at += 1;
        match std::str::from_utf8(raw) {
            Ok(text) if !escaped => Ok(Text::Borrowed(text)),
            whole => decode(raw, if whole.is_ok() { 1 } else { REPLACEMENT_BYTES }),
        }
    }
}

/// A string with escapes, or with bytes that are no UTF-8. The room is enough from the start: text that grew would leave
/// its old bytes behind.
fn decode(raw: &[u8], widest: usize) -> Result<Text<'static>, Flaw> {
    let mut text = Zeroizing::new(String::with_capacity(raw.len() * widest));
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        let (plain, escape) = rest.split_at(at);
        push(&mut text, plain);
        let (c, taken) = unescape(escape).ok_or(Flaw::Syntax)?;
        text.push(c);
        rest = escape.get(taken..).unwrap_or_default();
    }
    push(&mut text, rest);
    Ok(Text::Owned(text))
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

/// Whether a name means a field: in any case, by Unicode's rule. `field` is in small letters.
pub fn is(name: &str, field: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    name == field || name.chars().map(fold).eq(field.chars())
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

/// Deepest nesting: reading, writing and dropping take stack by it. Go stops at 10,000, and secrets are flat.
const DEPTH_MAX: usize = 512;
/// Most values of one reply, which is what a tree costs beyond the reply's own bytes.
const VALUES_MAX: usize = 100_000;
/// Length of U+FFFD, which stands for one byte.
const REPLACEMENT_BYTES: usize = 3;
