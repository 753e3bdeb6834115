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

/// A backend's own words, fit to be passed on to people, who search for them: on one line, at most
/// [`QUOTED_BYTES_MAX`], and `…` in place of everything that looks like a token, a key, or an id that changes each time.
pub fn quoted(words: &str) -> String {
    let read = shorten(words, READ_BYTES_MAX);
    // What is cut off in the middle may be a token that no longer looks like one.
    let read = if read.len() < words.len() { read.trim_end_matches(is_token_char) } else { read };
    let mut out = String::new();
    for word in read.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let mut rest = word;
        while let Some(c) = rest.chars().next() {
            let run = rest.find(|c| !is_token_char(c)).unwrap_or(rest.len());
            let (taken, left) = rest.split_at(run.max(c.len_utf8()));
            if is_token(taken) {
                out.push('…')
            } else {
                out.push_str(&printable(taken))
            }
            rest = left;
        }
        if out.len() > QUOTED_BYTES_MAX {
            return format!("{}…", shorten(&out, QUOTED_BYTES_MAX - '…'.len_utf8()));
        }
    }
    out
}

/// Longest text of a backend that is passed on, in bytes.
pub const QUOTED_BYTES_MAX: usize = 512;
/// How much of a text is looked at.
const READ_BYTES_MAX: usize = 4096;

/// What tokens, paths and names are made of.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '.' | '-')
}

/// Whether a run of such characters could be a credential: by the mark it bears, by its length, or by how often
/// letters, capitals and digits take turns, which they do in nothing that people name.
fn is_token(run: &str) -> bool {
    let starts = (0..run.len()).filter(|at| *at == 0 || !run.as_bytes()[at - 1].is_ascii_alphanumeric());
    starts.filter_map(|at| run.get(at..)).any(is_marked)
        || is_random(run)
        || run.split(['/', '.', '=']).any(|part| part.len() >= LONG_BYTES || is_random(part))
}

/// JSON Web Tokens, and tokens of Vault and OpenBao, old and new.
fn is_marked(text: &str) -> bool {
    let long = |rest: &str| {
        rest.len() >= OLD_TOKEN_BYTES && rest.bytes().take(OLD_TOKEN_BYTES).all(|b| b.is_ascii_alphanumeric())
    };
    let after = |marks: &[&str]| marks.iter().find_map(|mark| text.strip_prefix(mark));
    text.starts_with("eyJ") && text.len() >= JWT_BYTES
        || after(&["hvs.", "hvb.", "hvr."]).is_some_and(|rest| !rest.is_empty())
        || after(&["s.", "b.", "r."]).is_some_and(long)
}

fn is_random(part: &str) -> bool {
    let class = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase());
    let both = |two: &&[u8]| two.iter().all(u8::is_ascii_alphanumeric);
    let turns = part.as_bytes().windows(2).filter(both).filter(|two| class(two[0]) != class(two[1])).count();
    let hex = part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    part.len() >= RANDOM_BYTES && part.bytes().any(|b| b.is_ascii_digit()) && (hex || turns * 4 >= part.len())
}

/// Shorter ones have no payload.
const JWT_BYTES: usize = 16;
/// Length of an old token behind its mark, at least.
const OLD_TOKEN_BYTES: usize = 20;
/// Shorter texts take turns by chance.
const RANDOM_BYTES: usize = 24;
/// No name is so long: Kubernetes's have 63 bytes.
const LONG_BYTES: usize = 64;
