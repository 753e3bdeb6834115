//! Where Go's parser takes what ours refuses: a text that says the same in a way that both take. Ours asks for YAML's
//! indentation inside quotes and brackets, where the other asks for none; for a space where a tab stands behind a colon;
//! and for white space before a comment that follows closing quotes.

use saphyr_parser::{Marker, ScanError};

use super::lines::Lines;

/// Characters that the text as it was written does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column before which they stand, from 0.
    pub(super) column: usize,
    /// How many they are.
    pub(super) count: usize,
}

/// How far a line is indented at once. The next try indents it further where that is not enough.
const STEP: &str = "        ";

/// How much text may be read again for the sake of such places, in bytes.
pub(super) const AGAIN_BYTES: usize = 2 << 20;

/// The text without what the parser stumbled over, and what was put in; `None` where Go's parser does not take it.
pub(super) fn eased(lines: &Lines<'_>, error: &ScanError) -> Option<(String, Vec<Shift>)> {
    let (info, mark) = (error.info(), *error.marker());
    let at = lines.offset(mark);
    let text = lines.text();
    if info.starts_with("':' must be followed") {
        let tab = at.checked_sub(1).filter(|tab| text.as_bytes().get(*tab) == Some(&b'\t'))?;
        return Some((replaced(text, tab, 1, " "), Vec::new()));
    }
    if info.starts_with("tab cannot be used") && text[at..].starts_with('\t') {
        let shift = Shift { line: mark.line(), column: mark.col(), count: STEP.len() - 1 };
        return Some((replaced(text, at, 1, STEP), vec![shift]));
    }
    if info.starts_with("comments must be separated") && text[at..].starts_with('#') {
        let shift = Shift { line: mark.line(), column: mark.col(), count: 1 };
        return Some((replaced(text, at, 0, " "), vec![shift]));
    }
    if info.contains("invalid indentation in quoted scalar") {
        return Some(indented(lines, &quoted_lines(lines, mark)?));
    }
    // The parser says the latter of whatever stands in brackets, where no line is indented by the blocks around.
    let flow = info.starts_with("invalid indentation in flow") || info == "invalid indentation";
    flow.then(|| indented(lines, &[mark.line()]))
}

fn replaced(text: &str, at: usize, length: usize, by: &str) -> String {
    format!("{}{by}{}", &text[..at], &text[at + length..])
}

/// The lines of a text in quotes that are to be indented: those that it goes on in, or the one that it begins in where
/// that one is the least indented.
fn quoted_lines(lines: &Lines<'_>, mark: Marker) -> Option<Vec<usize>> {
    let more = lines.quoted(mark)?.split_inclusive(['\n', '\r']).count().saturating_sub(1);
    let indent = |number: &usize| {
        let line = lines.line(*number);
        line.len() - line.trim_start_matches([' ', '\t']).len()
    };
    // Markers of documents end a text even here, and stand at the beginning of their line only.
    let marker = |line: &str| line.starts_with("---") || line.starts_with("...");
    let inner: Vec<usize> = (mark.line() + 1..=mark.line() + more)
        .filter(|number| !lines.line(*number).trim().is_empty() && !marker(lines.line(*number)))
        .collect();
    let least = inner.iter().map(indent).min();
    let first = indent(&mark.line());
    if first == mark.col() && least.is_none_or(|least| first <= least) {
        return Some(vec![mark.line()]);
    }
    (!inner.is_empty()).then_some(inner)
}

fn indented(lines: &Lines<'_>, which: &[usize]) -> (String, Vec<Shift>) {
    let mut text = String::with_capacity(lines.text().len() + which.len() * STEP.len());
    let mut from = 0;
    for number in which {
        let start = lines.start(*number);
        text.push_str(&lines.text()[from..start]);
        text.push_str(STEP);
        from = start;
    }
    text.push_str(&lines.text()[from..]);
    let shift = |line: &usize| Shift { line: *line, column: 0, count: STEP.len() };
    (text, which.iter().map(shift).collect())
}
