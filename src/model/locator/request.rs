//! Requests to Vault and OpenBao in their one canonical spelling: what the Go client of the upstream providers makes of
//! a path, a query and an auth mount. Policy judges this spelling, audit lines show it, and it goes on the wire.

use std::fmt::Write as _;

/// The path below `/v1/` and its query, as [`super::vault::Locator::path`] holds them. A `/v1/` in front is dropped,
/// `//`, `.` and `..` are resolved, what a URL cannot hold is escaped, a `%` too, and the query is sorted by key.
///
/// # Errors
/// In words that fit behind the name of a parameter.
pub fn path(text: &str) -> Result<Box<str>, &'static str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments = resolved(&["v1", path.strip_prefix("v1/").unwrap_or(path)]);
    let [first, below @ ..] = segments.as_slice() else { return Err(OUTSIDE) };
    if *first != "v1" {
        return Err(OUTSIDE);
    }
    let mut spelling = String::with_capacity(text.len());
    escape(&below.join("/"), &mut spelling);
    encode(query, &mut spelling)?;
    Ok(spelling.into())
}

/// The path of an auth mount below `/v1/auth/`, without slashes around it.
///
/// # Errors
/// In words that fit behind the name of a parameter.
pub fn mount(text: &str) -> Result<Box<str>, &'static str> {
    match resolved(&["v1", "auth", text, "login"]).as_slice() {
        ["v1", "auth", mount @ .., "login"] if !mount.is_empty() => {
            let mut spelling = String::with_capacity(text.len());
            escape(&mount.join("/"), &mut spelling);
            Ok(spelling.into())
        }
        _ => Err("names nothing below `auth/`"),
    }
}

/// Whether a text is an HTTP method that asks something of a path: one or more of the characters of a token, but not
/// `CONNECT`, which would make a tunnel of the connection.
pub fn is_method(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token) && text != "CONNECT"
}

/// A namespace as its header holds it, without white space around it; `None` where no header can hold the text.
pub fn namespace(text: &str) -> Option<Box<str>> {
    let holds = text.chars().all(|c| c == '\t' || !c.is_ascii_control());
    holds.then(|| text.trim_matches([' ', '\t']).into())
}

/// What is wrong with a path that [`is_session`], in words that fit behind the name of a parameter.
pub const SESSION: &str =
    "leads to the session itself, to leases or to the server's own state, which no class may touch";

/// Whether a canonical path acts on the session that asks, on leases by their id, or on the server itself. Nothing
/// there is a secret to deliver, and one pod would take down what others hold.
///
/// Both servers take a namespace in front of a path, of any depth, so it counts wherever a segment begins, but for what
/// lies below the `data/` or `metadata/` of a KV version 2 mount: secrets may be called like that. (A namespace called
/// `data` below another hides it; whoever asks there harms its own session.)
pub fn is_session(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    let kv = |before: &str| before.split('/').skip(1).any(|segment| matches!(segment, "data" | "metadata"));
    let inner = path.match_indices('/').filter(|(at, _)| !kv(&path[..*at])).map(|(at, _)| &path[at + 1..]);
    std::iter::once(path).chain(inner).any(|below| {
        if let Some(token) = below.strip_prefix("auth/token/") {
            return token.ends_with("-self") || token.starts_with("revoke");
        }
        let old = ["sys/revoke", "sys/renew"];
        matches!(below, "sys/seal" | "sys/step-down" | "sys/leases")
            || below.starts_with("sys/leases/")
            || old.iter().any(|old| below.starts_with(old))
    })
}

const OUTSIDE: &str = "leads out of `/v1/`";

/// The segments of a path below the root, with `//`, `.` and `..` resolved as `path.Clean` does.
fn resolved<'a>(parts: &[&'a str]) -> Vec<&'a str> {
    let mut segments = Vec::new();
    for segment in parts.iter().flat_map(|part| part.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
}

fn escape(path: &str, out: &mut String) {
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Appends a query, read and written again as `net/url` does: sorted by key, equal keys in the order written.
fn encode(query: &str, out: &mut String) -> Result<(), &'static str> {
    let mut pairs = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        if part.contains(';') {
            return Err("has a `;` in its query, where only `&` separates");
        }
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        pairs.push((decode(key)?, decode(value)?));
    }
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut separator = '?';
    for (key, value) in pairs {
        out.push(separator);
        form(&key, out);
        out.push('=');
        form(&value, out);
        separator = '&';
    }
    Ok(())
}

fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err("has a `%` in its query without two hexadecimal digits behind it");
                };
                u8::try_from(high << 4 | low).unwrap_or_default()
            }
            _ => byte,
        });
    }
    Ok(decoded)
}

fn form(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}
