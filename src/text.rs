//! Text that somebody else chose, made fit for a line that a person reads: escaped, shortened, or met with what was
//! probably meant. Pure, and bounded in what it costs.

use std::borrow::Cow;

/// Text with control characters, and those that reorder a line, escaped, so that no input can forge a log line.
pub fn printable(text: &str) -> String {
    if !text.chars().any(is_hostile) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hostile(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Whether a character acts on a terminal or an editor rather than being read: it controls, reorders or hides.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The nearest of the known words, where one is near enough to be what was meant. A tenant chooses the word, so what
/// it costs is bounded: no word that is longer than any known one could be is compared at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= edits(candidate))
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= edits(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer words are not misspelt, they are something else.
const WORD_BYTES_MAX: usize = 128;

/// How many slips may lie between a word and what was meant: one, and one more for every four letters.
const fn edits(candidate: &str) -> usize {
    1 + candidate.len() / 4
}

/// A word that somebody else chose, short enough for a text that may hold many of them.
pub fn short(text: &str) -> Cow<'_, str> {
    let whole = shorten(text, SHORT_BYTES);
    if whole.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{whole}…")) }
}

const SHORT_BYTES: usize = 80;

/// The whole of a text that fits into `max` bytes, on a character's border.
pub fn shorten(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
