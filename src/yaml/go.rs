//! What a node means to Go's `yaml.v3` when it is decoded: the type of a scalar by its spelling and tag, the fields of a
//! mapping with its merge keys. Facts about that library, in the order in which it looks.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use super::{Node, Scalar, Style, Value, timestamp};

/// A scalar, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning<'a> {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number of 64 bits, signed or not.
    Int(i128),
    /// Any other number; infinite or none where it is spelled so.
    Float(f64),
    /// A time as JSON writes it; `None` where JSON cannot.
    Time(Option<String>),
    /// Text.
    Text(&'a str),
    /// What base64 text stands for.
    Binary(Vec<u8>),
}

/// What is wrong with a node, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Line and column.
    pub at: (u32, u32),
    /// In words that quote nothing and fit behind what the node is for.
    pub what: &'static str,
}

const CORE: &str = "tag:yaml.org,2002:";

/// The meaning of a scalar.
///
/// # Errors
/// Where the tag promises what the text is not.
pub fn meaning(scalar: &Scalar) -> Result<Meaning<'_>, &'static str> {
    let text = &*scalar.text;
    let tag = scalar.tag.as_deref().filter(|tag| *tag != "!");
    let plain = scalar.style == Style::Plain;
    let Some(tag) = tag else {
        return Ok(if plain { resolved(text, true) } else { Meaning::Text(text) });
    };
    let kind = tag.strip_prefix(CORE).unwrap_or_default();
    let meaning = match kind {
        "binary" => return BASE64.decode(folded(text)).map(Meaning::Binary).map_err(|_| "is not base64"),
        "bool" | "int" | "float" | "null" | "timestamp" => resolved(text, kind == "timestamp"),
        _ => return Ok(Meaning::Text(text)),
    };
    match (kind, meaning) {
        ("float", Meaning::Int(number)) => Ok(Meaning::Float(float(number))),
        ("bool", meaning @ Meaning::Bool(_))
        | ("int", meaning @ Meaning::Int(_))
        | ("float", meaning @ Meaning::Float(_))
        | ("null", meaning @ Meaning::Null)
        | ("timestamp", meaning @ Meaning::Time(_)) => Ok(meaning),
        _ => Err("is not what its tag says"),
    }
}

/// The text of a node that is decoded into a text: of any scalar what is written, `None` for null.
///
/// # Errors
/// For lists and mappings, tags that lie, and bytes that are no text.
pub fn text(node: &Node) -> Result<Option<Cow<'_, str>>, &'static str> {
    match &node.value {
        Value::Sequence(_) => Err("is a list, where text is expected"),
        Value::Mapping(_) => Err("is a mapping, where text is expected"),
        Value::Scalar(scalar) => Ok(match meaning(scalar)? {
            Meaning::Null => None,
            Meaning::Binary(bytes) => {
                Some(Cow::Owned(String::from_utf8(bytes).map_err(|_| "is binary that is no text")?))
            }
            Meaning::Bool(_) | Meaning::Int(_) | Meaning::Float(_) | Meaning::Time(_) | Meaning::Text(_) => {
                Some(Cow::Borrowed(&*scalar.text))
            }
        }),
    }
}

/// Whether a node is nothing, by its spelling or by its tag.
pub fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if meaning(scalar) == Ok(Meaning::Null))
}

/// Whether a key is one that merges: `<<` without quotes, or with the tag of it.
fn is_merge(key: &Node) -> bool {
    let Value::Scalar(scalar) = &key.value else { return false };
    let tag = scalar.tag.as_deref().filter(|tag| *tag != "!");
    &*scalar.text == "<<"
        && match tag {
            None => scalar.style == Style::Plain,
            Some(tag) => tag.strip_prefix(CORE) == Some("merge"),
        }
}

/// A field of a mapping.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Its key, as text.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: &'a Node,
}

/// The fields of a mapping whose keys are texts: its own first, then those that its merge key adds, where the first of
/// several mappings wins. Null keys are left out. `None` where the node is no mapping.
///
/// # Errors
/// Keys and merges that cannot be decoded.
pub fn fields(node: &Node) -> Result<Option<Vec<Field<'_>>>, Wrong> {
    let Some(pairs) = node.mapping() else { return Ok(None) };
    let (mut fields, mut seen) = (Vec::with_capacity(pairs.len()), BTreeSet::new());
    gather(pairs, &mut fields, &mut seen)?;
    Ok(Some(fields))
}

/// Whether the keys of a mapping are all texts by themselves: another one has no JSON.
pub fn has_text_keys(pairs: &[(Node, Node)]) -> bool {
    pairs.iter().all(|(key, _)| {
        let Value::Scalar(scalar) = &key.value else { return false };
        let custom =
            scalar.tag.as_deref().is_some_and(|tag| tag != "!" && tag.strip_prefix(CORE) != Some("str"));
        is_merge(key) || !custom && matches!(meaning(scalar), Ok(Meaning::Text(_)))
    })
}

fn gather<'a>(
    pairs: &'a [(Node, Node)],
    fields: &mut Vec<Field<'a>>,
    seen: &mut BTreeSet<Cow<'a, str>>,
) -> Result<(), Wrong> {
    let wrong = |node: &Node, what| Wrong { at: node.at, what };
    let mut merge = None;
    for (key, value) in pairs {
        if is_merge(key) {
            merge = Some(value);
        } else if let Some(name) = text(key).map_err(|_| wrong(key, "has a key that is no text"))?
            && seen.insert(name.clone())
        {
            fields.push(Field { name, value });
        }
    }
    let Some(merge) = merge else { return Ok(()) };
    let sources = merge.sequence().unwrap_or_else(|| std::slice::from_ref(merge));
    for source in sources {
        let what = "merges something that is neither a mapping nor a list of mappings";
        gather(source.mapping().ok_or_else(|| wrong(source, what))?, fields, seen)?;
    }
    Ok(())
}

/// The type of a plain text.
fn resolved(text: &str, times: bool) -> Meaning<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => dotted(text).map(Meaning::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            if times && let Some(time) = timestamp::json(text) {
                return Meaning::Time(time);
            }
            let plain = text.replace('_', "");
            whole(&plain).map(Meaning::Int).or_else(|| decimal(&plain).map(Meaning::Float))
        }
        _ => None,
    };
    number.unwrap_or(Meaning::Text(text))
}

/// A whole number in Go's notation for literals: a sign, and `0x`, `0o`, `0b` or a mere `0` for the base.
fn whole(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let size = i128::from_str_radix(digits, base).ok()?;
    let number = if negative { -size } else { size };
    // A sign makes it one of the signed ones.
    let most = if text.starts_with('+') { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=most).contains(&number).then_some(number)
}

/// A number with a fraction or an exponent, or one that is too large or too odd to be a whole one.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.is_none_or(|text| {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        !unsigned.is_empty() && digits(unsigned)
    });
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !before.is_empty() || !after.is_empty();
    let number: f64 = (exponent && some && digits(before) && digits(after)).then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

/// A number that begins with its point; underscores stand between digits here.
fn dotted(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let between = |(at, _): (usize, &str)| digit(at.checked_sub(1)) && digit(at.checked_add(1));
    if !text.match_indices('_').all(between) {
        return None;
    }
    decimal(&text.replace('_', ""))
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts it: to the nearest")]
fn float(number: i128) -> f64 {
    number as f64
}

/// Without the line breaks, which Go's decoder skips.
fn folded(text: &str) -> String {
    text.replace(['\r', '\n'], "")
}

/// As lenient as Go's: bits that the last character has too many are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);
