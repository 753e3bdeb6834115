//! What Go's `encoding/json` and `strconv` do, where files must be the same bytes as those of a provider written in Go.
//! Pure: each rule is a function of its own.

pub mod json;
mod text;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// JSON as Go's encoder writes it, compact, in a buffer that zeroes what it outgrows: values go through it.
pub struct Json(Zeroizing<Vec<u8>>);

impl Json {
    /// With room for about as much.
    pub fn new(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    /// Text that is JSON already: punctuation, a number as it was received, `null`.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.bytes(json.as_bytes());
        self
    }

    /// A string in its quotes, escaped as [`escape`] says.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.bytes(b"\"");
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if let Some(escaped) = escape(c) {
                self.bytes(&text.as_bytes()[plain..at]);
                self.bytes(escaped.as_str().as_bytes());
                plain = at + c.len_utf8();
            }
        }
        self.bytes(&text.as_bytes()[plain..]);
        self.bytes(b"\"");
        self
    }

    /// The whole.
    pub fn finish(self) -> Secret {
        Secret::new(self.0)
    }

    /// A plain `Vec` would leave its old bytes behind where it grows.
    fn bytes(&mut self, more: &[u8]) {
        if self.0.capacity() - self.0.len() < more.len() {
            let mut larger =
                Zeroizing::new(Vec::with_capacity((self.0.capacity() * 2).max(self.0.len() + more.len())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(more);
    }
}

/// How Go's encoder spells a character inside a string; `None` for itself. Besides what JSON asks for it escapes what
/// HTML and JavaScript would take for their own.
pub fn escape(c: char) -> Option<Escaped> {
    let short = |letter: u8| Some(Escaped { bytes: [b'\\', letter, 0, 0, 0, 0], length: 2 });
    match c {
        '"' | '\\' => short(if c == '"' { b'"' } else { b'\\' }),
        '\u{8}' => short(b'b'),
        '\u{c}' => short(b'f'),
        '\n' => short(b'n'),
        '\r' => short(b'r'),
        '\t' => short(b't'),
        '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
            let digit = |shift: u32| HEX[(u32::from(c) >> shift & 0xf) as usize];
            Some(Escaped { bytes: [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)], length: 6 })
        }
        _ => None,
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// An escape, such as `\u003c`.
#[derive(Clone, Copy)]
pub struct Escaped {
    bytes: [u8; 6],
    length: usize,
}

impl Escaped {
    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// A floating-point number as Go's encoder writes it: the shortest digits that read back the same, with an exponent
/// below `1e-6` and from `1e21` on. `None` for what JSON cannot say.
pub fn float(value: f64) -> Option<String> {
    let size = value.abs();
    if !value.is_finite() {
        None
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        // Go writes the sign of a positive exponent; Rust does not.
        Some(if size >= 1.0 { text.replace('e', "e+") } else { text })
    } else {
        Some(format!("{value}"))
    }
}

/// `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
