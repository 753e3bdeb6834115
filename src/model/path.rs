//! Where a file may stand in a volume: the driver's own rules (`fileutil.WritePayloads`, driver 1.6), checked before
//! anything is fetched, since one bad path makes the driver throw the whole answer away.

use std::fmt;

/// A checked path below the volume's root. There is no other way to name a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelPath(Box<str>);

impl RelPath {
    /// Longest path, in bytes.
    pub const BYTES_MAX: usize = 4096;
    /// Longest component, in bytes: Linux' `NAME_MAX`.
    pub const COMPONENT_BYTES_MAX: usize = 255;

    /// Checks every rule.
    ///
    /// # Errors
    /// The rule that the text breaks, in words that fit behind the quoted path.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let path = Self::parse_raw(text)?;
        // The driver would write it, and nobody could read what it says.
        if text.chars().any(char::is_control) { Err("has a control character") } else { Ok(path) }
    }

    /// Checks the driver's own rules alone: classes that were written for another provider may have line breaks in names.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_raw(text: &str) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            return Err("is empty");
        }
        if text.starts_with('/') {
            return Err("is absolute");
        }
        if text.len() > Self::BYTES_MAX {
            return Err("is longer than 4096 bytes");
        }
        if text.contains('\0') {
            return Err("has a control character");
        }
        for (index, component) in text.split('/').enumerate() {
            match component {
                ".." => return Err("may not contain `..`"),
                "." => return Err("has a component `.`"),
                "" => return Err("has an empty component"),
                _ if index == 0 && component.starts_with("..") => {
                    return Err("starts with the prefix `..`, which is reserved for the driver");
                }
                _ if component.len() > Self::COMPONENT_BYTES_MAX => {
                    return Err("has a component longer than 255 bytes");
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The path, with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This folder with a file of that name in it, under the same rules.
    ///
    /// # Errors
    /// The rule that the joined path breaks.
    pub fn join(&self, name: &str) -> Result<Self, &'static str> {
        Self::parse(name)?;
        Self::parse(&format!("{}/{name}", self.0))
    }

    /// The path that a text of these rules was perhaps meant to be: without what stands in it for nothing.
    pub fn meant(text: &str) -> Option<Self> {
        let mut kept = Vec::new();
        for component in text.split('/') {
            match component {
                "" | "." => {}
                ".." => drop(kept.pop()?),
                _ => kept.push(component),
            }
        }
        Self::parse(&kept.join("/")).ok()
    }

    /// The folders above it, nearest the root first: `a` and `a/b` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
