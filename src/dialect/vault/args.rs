//! `secretArgs`: the JSON body that the Go provider makes of it.

use std::borrow::Cow;

use crate::model::go;
use crate::yaml::go::{self as yaml, Meaning, Wrong};
use crate::yaml::{Node, Value};

/// The body; `None` where the node is null, and no body is sent.
///
/// # Errors
/// Where something stands in it that JSON cannot hold.
pub(super) fn json(node: &Node) -> Result<Option<String>, Wrong> {
    if yaml::is_null(node) {
        return Ok(None);
    }
    let mut out = String::new();
    if !object(node, &mut out)? {
        return Err(wrong(node, "is not a mapping"));
    }
    Ok(Some(out))
}

fn wrong(node: &Node, what: &'static str) -> Wrong {
    Wrong { at: node.at, what }
}

/// Appends a mapping, sorted by key; `false` where the node is none. The tree bounds the depth.
fn object(node: &Node, out: &mut String) -> Result<bool, Wrong> {
    let Some(mut fields) = yaml::fields(node)? else { return Ok(false) };
    fields.sort_by(|one, other| one.name.cmp(&other.name));
    let mut separator = '{';
    for field in &fields {
        out.push(separator);
        separator = ',';
        quote(field.name.as_bytes(), out);
        out.push(':');
        value(field.value, out)?;
    }
    if fields.is_empty() {
        out.push('{');
    }
    out.push('}');
    Ok(true)
}

fn value(node: &Node, out: &mut String) -> Result<(), Wrong> {
    match &node.value {
        Value::Mapping(pairs) if !yaml::has_text_keys(pairs) => {
            Err(wrong(node, "holds a mapping with keys that are no text"))
        }
        Value::Mapping(_) => object(node, out).map(drop),
        Value::Sequence(entries) => {
            out.push('[');
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value(entry, out)?;
            }
            out.push(']');
            Ok(())
        }
        Value::Scalar(scalar) => {
            let number = "holds a number that JSON does not have";
            let text: Cow<'_, str> = match yaml::meaning(scalar)
                .map_err(|_| wrong(node, "holds a text that is not what its tag says"))?
            {
                Meaning::Null => "null".into(),
                Meaning::Bool(true) => "true".into(),
                Meaning::Bool(false) => "false".into(),
                Meaning::Int(number) => number.to_string().into(),
                Meaning::Float(value) => go::float(value).ok_or_else(|| wrong(node, number))?.into(),
                Meaning::Time(time) => {
                    let time = time.ok_or_else(|| wrong(node, "holds a time that JSON does not have"))?;
                    quote(time.as_bytes(), out);
                    return Ok(());
                }
                Meaning::Text(text) => {
                    quote(text.as_bytes(), out);
                    return Ok(());
                }
                Meaning::Binary(bytes) => {
                    quote(&bytes, out);
                    return Ok(());
                }
            };
            out.push_str(&text);
            Ok(())
        }
    }
}

/// Appends a text in quotes. Bytes that are no UTF-8 are replaced one by one.
fn quote(text: &[u8], out: &mut String) {
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match go::escape(c) {
                Some(escaped) => out.push_str(escaped.as_str()),
                None => out.push(c),
            }
        }
        for _ in chunk.invalid() {
            out.push_str("\\ufffd");
        }
    }
    out.push('"');
}
