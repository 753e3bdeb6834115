//! The text by lines: positions for people, and the rules that the event parser does not enforce.

use std::ops::Range;

use saphyr_parser::{Marker, ScanError};

use super::Error;
use super::ease::Shift;

/// A text, and where its lines start.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// Byte offsets. Never empty.
    starts: Vec<usize>,
    /// What stands in it only for the parser.
    shifts: &'a [Shift],
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, shifts: &'a [Shift]) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        // YAML 1.2 breaks lines at LF, CR and CRLF, and at nothing else.
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(at + 1);
            }
        }
        Self { text, starts, shifts }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Where the line of that number starts, in bytes.
    pub(super) fn start(&self, number: usize) -> usize {
        self.starts.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// Where a position is, in bytes.
    pub(super) fn offset(&self, mark: Marker) -> usize {
        let line = self.line(mark.line());
        self.start(mark.line()) + line.char_indices().nth(mark.col()).map_or(line.len(), |(at, _)| at)
    }

    /// What stands between the quotes that open here, as it is written.
    pub(super) fn quoted(&self, mark: Marker) -> Option<&'a str> {
        let rest = &self.text[self.offset(mark)..];
        let quote = rest.bytes().next().filter(|quote| matches!(quote, b'"' | b'\''))?;
        let inside = &rest[1..];
        let mut bytes = inside.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            let doubled = byte == quote && bytes.peek().is_some_and(|(_, next)| *next == quote);
            if (quote == b'"' && byte == b'\\') || (quote == b'\'' && doubled) {
                bytes.next();
            } else if byte == quote {
                return Some(&inside[..at]);
            }
        }
        Some(inside)
    }

    /// Whether a position is behind the last character.
    pub(super) fn is_end(&self, mark: Marker) -> bool {
        mark.line() > self.starts.len() || self.offset(mark) == self.text.len()
    }

    /// Whether the text ends within a line that says something.
    pub(super) fn ends_open(&self) -> bool {
        !self.line(self.starts.len()).trim().is_empty()
    }

    /// The line of that number, from 1, with its break; empty beyond the last.
    pub(super) fn line(&self, number: usize) -> &'a str {
        let end = self.starts.get(number).copied().unwrap_or(self.text.len());
        &self.text[self.start(number)..end]
    }

    /// A position as it came, which costs nothing.
    pub(super) fn quick(&self, mark: Marker) -> (u32, u32) {
        if mark.line() > self.starts.len() { self.end() } else { self.written(mark.line(), mark.col()) }
    }

    /// A position brought back into the text: the parser counts a line too many at the end of one without a break.
    pub(super) fn exact(&self, mark: Marker) -> (u32, u32) {
        if mark.line() > self.starts.len() {
            return self.end();
        }
        let width = self.line(mark.line()).trim_end_matches(['\n', '\r']).chars().count();
        self.written(mark.line(), mark.col().min(width))
    }

    /// Just behind the last character.
    fn end(&self) -> (u32, u32) {
        let last = self.starts.len();
        self.written(last, self.line(last).chars().count())
    }

    /// Line and column, both from 1, in the text as it was written, of a column from 0 in this one.
    fn written(&self, line: usize, column: usize) -> (u32, u32) {
        let back =
            |column: usize, shift: &Shift| column - column.saturating_sub(shift.column).min(shift.count);
        pair(line, self.shifts.iter().rev().filter(|shift| shift.line == line).fold(column, back) + 1)
    }

    /// The parser's own refusal. Its words are fixed ones, but for the one that names a character.
    pub(super) fn refusal(&self, error: &ScanError) -> Error {
        if error.info().contains("tab")
            && let Err(tab) = self.indentation(*error.marker())
        {
            return tab;
        }
        let info = error.info();
        let ours = WORDS.iter().find(|(theirs, _)| info.contains(theirs)).map(|(_, ours)| *ours);
        let what = ours.unwrap_or(info).to_owned();
        Error { at: self.exact(*error.marker()), what }
    }

    /// Refuses characters that YAML allows only as escapes. The parser takes a NUL for the end of the text.
    pub(super) fn printable(&self, go: bool) -> Result<(), Error> {
        let allowed = |c: char| {
            matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..)
                && !matches!(c, '\u{fffe}' | '\u{ffff}')
        };
        let mark = |(at, c): &(usize, char)| go && *at > 0 && *c == '\u{feff}';
        let wrong = self.text.char_indices().find(|found| !allowed(found.1) || mark(found));
        let Some((at, _)) = wrong else { return Ok(()) };
        let line = self.starts.partition_point(|start| *start <= at);
        let column = self.text[self.starts[line - 1]..at].chars().count() + 1;
        Err(Error { at: pair(line, column), what: "a control character stands in the text".to_owned() })
    }

    /// Refuses a `%YAML` directive of a version that this is not, in the lines before a document; for readers who know
    /// Go's parser, whatever that one refuses.
    pub(super) fn directives(&self, prologue: Range<usize>, go: bool) -> Result<(), Error> {
        for number in prologue {
            let line = self.line(number).trim_start_matches('\u{feff}');
            let mut words = line.split_ascii_whitespace();
            let what = match (words.next(), words.next()) {
                (Some("%YAML"), Some("1.1")) | (Some("%TAG"), _) => continue,
                (Some("%YAML"), Some("1.2")) if !go => continue,
                (Some("%YAML"), _) if go => "the directive asks for a YAML version other than 1.1",
                (Some("%YAML"), _) => "the directive asks for a YAML version other than 1.1 and 1.2",
                (Some(word), _) if go && word.starts_with('%') => "a directive that is not known",
                _ => continue,
            };
            return Err(Error { at: pair(number, 1), what: what.to_owned() });
        }
        Ok(())
    }

    /// Refuses a tab among what stands before the first thing of a line: indentation is made of spaces, and parsers
    /// differ in what a tab is worth. For nodes of block style only; inside brackets a tab is mere white space.
    pub(super) fn indentation(&self, mark: Marker) -> Result<(), Error> {
        let indent = |byte: &u8| matches!(byte, b' ' | b'\t' | b'-' | b'?' | b':');
        let mut before = self.line(mark.line()).bytes().take(mark.col()).take_while(indent);
        before.position(|byte| byte == b'\t').map_or(Ok(()), |tab| {
            let what = "a tab is used as indentation, where only spaces may stand".to_owned();
            Err(Error { at: pair(mark.line(), tab + 1), what })
        })
    }

    /// Whether the list or mapping that starts here is one in brackets, behind its anchor and tag.
    pub(super) fn in_brackets(&self, mark: Marker) -> bool {
        let line = self.line(mark.line());
        let column = line.char_indices().nth(mark.col()).map_or(line.len(), |(at, _)| at);
        let mut rest = &self.text[self.start(mark.line()) + column..];
        loop {
            rest = rest.trim_start();
            rest = match rest.as_bytes().first() {
                Some(b'[' | b'{') => return true,
                Some(b'#') => rest.trim_start_matches(|c| c != '\n' && c != '\r'),
                Some(b'!' | b'&') => {
                    rest.trim_start_matches(|c: char| !c.is_whitespace() && !"[]{},".contains(c))
                }
                _ => return false,
            };
        }
    }
}

/// What the parser says, by a piece of it, and what people understand. It names a character in the first only.
const WORDS: [(&str, &str); 8] = [
    ("unexpected character", "a character that no value can start with"),
    ("unexpected eof", "the text ends too early"),
    ("did not find expected node content", "a value is missing here"),
    ("while parsing a flow mapping", "a comma or a closing brace is missing before this"),
    ("while parsing a flow sequence", "a comma or a closing bracket is missing before this"),
    ("quoted scalar, found unexpected end", "the quotes that open here are never closed"),
    ("mapping values are not allowed", "a colon stands where no value can follow; put the text in quotes"),
    ("found unknown anchor", "the alias has no anchor"),
];

fn pair(line: usize, column: usize) -> (u32, u32) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (number(line), number(column))
}
