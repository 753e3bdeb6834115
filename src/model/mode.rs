//! Permission bits of a file.

use std::fmt;

/// Permission bits, with set-id and sticky bits at most: 0 to 07777.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileMode(u16);

impl FileMode {
    /// What the driver sends as default.
    pub const DEFAULT: Self = Self(0o644);

    /// From bits; `None` above 07777.
    pub fn from_bits(bits: u32) -> Option<Self> {
        u16::try_from(bits).ok().filter(|bits| *bits <= 0o7777).map(Self)
    }

    /// From octal digits as manifests write them: `0440`, `440`, `02750`, `0o440`.
    pub fn parse_octal(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if !(1..=5).contains(&digits.len()) || !digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return None;
        }
        u32::from_str_radix(digits, 8).ok().and_then(Self::from_bits)
    }

    /// From the driver's `permission`: a decimal JSON number, as Go marshals `os.FileMode`. To Go's decoder
    /// `null` leaves it at nought.
    pub fn parse_permission(text: &str) -> Option<Self> {
        let number = text.trim_matches([' ', '\t', '\r', '\n']);
        if number == "null" {
            return Some(Self(0));
        }
        let plain = number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
        if !plain { None } else { number.parse().ok().and_then(Self::from_bits) }
    }

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}
