//! JSON as Go's `encoding/json` reads it, which no library here does: numbers keep their text, the last of equal names
//! wins, broken UTF-8 and lone surrogates become U+FFFD, and what follows the first value is looked at only where the whole
//! text is asked for. Text without escapes is borrowed; any other copy zeroes itself. Depth and count are bounded, so that a
//! reply costs no more than a few times its size.

use std::collections::BTreeMap;

use super::Json;
use super::text;
pub use super::text::Text;

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
            whole => text::decode(raw, whole.is_ok()).ok_or(Flaw::Syntax),
        }
    }
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

/// Deepest nesting: reading, writing and dropping take stack by it. Go stops at 10,000, and secrets are flat.
const DEPTH_MAX: usize = 512;
/// Most values of one reply, which is what a tree costs beyond the reply's own bytes.
const VALUES_MAX: usize = 100_000;
