//! Secrets of Vault and OpenBao stores: the keys that say which request, and those that say as whom.

use super::secrets::Reader;
use crate::error::Reason;
use crate::model::locator::{request, vault};
use crate::model::{Access, Audience, Locator, StoreName};
use crate::secret::{DigestKey, Secret};
use crate::yaml::{Node, Style, Value};

/// Keys of a secret of such a store.
pub(super) const KEYS: [&str; 11] = [
    "store",
    "path",
    "version",
    "method",
    "args",
    "role",
    "authMount",
    "namespace",
    "audience",
    "optional",
    "fresh",
];

/// Keys that come with leases.
pub(super) const LATER: [&str; 4] = ["renewAt", "overlap", "revoke", "share"];

/// Reads what is of this kind alone. `None` where that could not be made out, which is told already.
pub(super) fn read(
    reader: &mut Reader<'_>,
    secret: &Node,
    (store, defaults): (&StoreName, &vault::Defaults),
    digests: &DigestKey,
) -> Option<(Access, Locator)> {
    let path = path(reader, secret);
    let method = method(reader, secret);
    let args = args(reader, secret, digests);
    let access = access(reader, secret, store, defaults);
    let locator = vault::Locator { path: path?, method: method?, args: args? };
    Some((Access::Vault(access?), Locator::Vault(locator)))
}

fn path(reader: &mut Reader<'_>, secret: &Node) -> Option<Box<str>> {
    let version = reader.version(secret);
    let Some(node) = secret.get("path") else {
        reader.refuse_name(
            "the secret names no path",
            "add `path:` with the path of the server's API, below `/v1/`",
        );
        return None;
    };
    let remedy = "write the path of the server's API below `/v1/`, such as `secret/data/db`";
    let Some(text) = node.text().filter(|text| !text.is_empty()) else {
        reader.refuse(node, format!("`path` is {}, where a path is expected", node.kind()), remedy);
        return None;
    };
    let text = match version.unwrap_or_default() {
        None => text.to_owned(),
        Some(_) if text.contains('?') => {
            let what = "`version` stands beside a path with a query of its own";
            reader.refuse(node, what, "write the version into the query, or leave the query out");
            return None;
        }
        Some(version) => format!("{text}?version={version}"),
    };
    match request::path(&text) {
        Ok(path) if request::is_session(&path) => {
            let what = format!("`path` {}", request::SESSION);
            reader.refuse_as(Reason::Policy, node, what, "remove the secret");
            None
        }
        Ok(path) if path.is_empty() || path.starts_with('?') => {
            reader.refuse(node, "`path` names nothing below `/v1/`", remedy);
            None
        }
        Ok(path) => version.is_ok().then_some(path),
        Err(rule) => {
            reader.refuse(node, format!("`path` {rule}"), remedy);
            None
        }
    }
}

fn method(reader: &mut Reader<'_>, secret: &Node) -> Option<Box<str>> {
    let Some(node) = secret.get("method") else { return Some(vault::GET.into()) };
    let method = node.text().filter(|text| request::is_method(text));
    if method.is_none() {
        reader.refuse(node, "`method` is no HTTP method", "write one like `GET` or `PUT`, or leave it out");
    }
    method.map(Into::into)
}

fn args(reader: &mut Reader<'_>, secret: &Node, digests: &DigestKey) -> Option<Option<vault::Args>> {
    let Some(node) = secret.get("args") else { return Some(None) };
    if node.mapping().is_none() {
        let what = format!("`args` is {}, where a mapping is expected", node.kind());
        reader.refuse(node, what, "write a mapping of names to values, or leave `args` out");
        return None;
    }
    let mut body = String::new();
    if let Err(at) = json(node, &mut body) {
        reader.refuse(at, "`args` has a merge key, which is not read", "write the keys out");
        return None;
    }
    Some(Some(vault::Args::new(Secret::from_text(body), digests)))
}

fn access(
    reader: &mut Reader<'_>,
    secret: &Node,
    store: &StoreName,
    defaults: &vault::Defaults,
) -> Option<vault::Access> {
    let role = role(reader, secret, store, defaults);
    let mount = mount(reader, secret, defaults);
    let namespace = namespace(reader, secret, defaults);
    let audience = text(reader, secret, "audience").map(|text| match text {
        Some(text) => Audience::new(text),
        None => defaults.usual_audience(),
    });
    if defaults.endpoint.is_none() {
        let remedy = format!("the administrator sets `stores.{store}.address`");
        reader.refuse_as(Reason::Setup, secret, "the agent does not know where the server is", remedy);
    }
    Some(vault::Access {
        store: store.clone(),
        endpoint: defaults.endpoint.clone()?,
        namespace: namespace?,
        mount: mount?,
        role: role?,
        audience: audience?,
        flavour: defaults.flavour,
    })
}

fn role(
    reader: &mut Reader<'_>,
    secret: &Node,
    store: &StoreName,
    defaults: &vault::Defaults,
) -> Option<Box<str>> {
    let role = text(reader, secret, "role")?.or(defaults.role.as_deref());
    if role.is_none() {
        let what = "neither the secret nor its store names a role to log in with";
        let remedy = format!("add `role:`, or let the administrator set `stores.{store}.role`");
        reader.refuse_as(Reason::Setup, secret, what, remedy);
    }
    role.map(Into::into)
}

fn mount(reader: &mut Reader<'_>, secret: &Node, defaults: &vault::Defaults) -> Option<Box<str>> {
    let Some(mount) = text(reader, secret, "authMount")? else {
        return Some(defaults.usual_mount());
    };
    let refuse = |rule| {
        let node = secret.get("authMount").unwrap_or(secret);
        let remedy = "write the path of an auth mount, like `kubernetes`";
        reader.refuse(node, format!("`authMount` {rule}"), remedy);
    };
    request::mount(mount).map_err(refuse).ok()
}

fn namespace(reader: &mut Reader<'_>, secret: &Node, defaults: &vault::Defaults) -> Option<Box<str>> {
    match text(reader, secret, "namespace")? {
        None => Some(defaults.namespace.clone().unwrap_or_default()),
        Some(text) => {
            let namespace = request::namespace(text);
            if namespace.is_none() {
                let node = secret.get("namespace").unwrap_or(secret);
                reader.refuse(node, "`namespace` has a control character", "write it in one line");
            }
            namespace
        }
    }
}

/// An optional key that holds text: `Some(None)` where it is not written, `None` where it is no text.
fn text<'a>(reader: &mut Reader<'_>, secret: &'a Node, key: &str) -> Option<Option<&'a str>> {
    let Some(node) = secret.get(key) else { return Some(None) };
    let text = node.text().filter(|text| !text.trim().is_empty());
    if text.is_none() {
        let kind = if node.text().is_some() { "empty" } else { node.kind() };
        reader.refuse(
            node,
            format!("`{key}` is {kind}, where text is expected"),
            format!("write it, or leave `{key}` out"),
        );
    }
    text.map(Some)
}

/// Appends a value: plain `true`, `false`, nulls and what JSON takes for a number as they are, everything else as text.
/// `Err` with a merge key.
fn json<'a>(node: &'a Node, out: &mut String) -> Result<(), &'a Node> {
    match &node.value {
        Value::Mapping(pairs) => {
            let mut pairs: Vec<_> =
                pairs.iter().map(|(key, value)| (key, key.text().unwrap_or_default(), value)).collect();
            pairs.sort_by_key(|(_, name, _)| *name);
            let mut separator = "";
            out.push('{');
            for (key, name, value) in pairs {
                if name == "<<" {
                    return Err(key);
                }
                out.push_str(separator);
                separator = ",";
                quote(name, out);
                out.push(':');
                json(value, out)?;
            }
            out.push('}');
        }
        Value::Sequence(entries) => {
            let mut separator = "";
            out.push('[');
            for entry in entries.iter() {
                out.push_str(separator);
                separator = ",";
                json(entry, out)?;
            }
            out.push(']');
        }
        Value::Scalar(_) if node.is_null() => out.push_str("null"),
        Value::Scalar(scalar) => match node.bool() {
            Some(value) => out.push_str(if value { "true" } else { "false" }),
            None if scalar.style == Style::Plain && scalar.tag.is_none() && is_number(&scalar.text) => {
                out.push_str(&scalar.text);
            }
            None => quote(&scalar.text, out),
        },
    }
    Ok(())
}

/// Whether JSON takes a text for a number: `0123`, `+1` and `.5` are none.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && digits(fraction)
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match crate::model::go::escape(c) {
            Some(escaped) => out.push_str(escaped.as_str()),
            None => out.push(c),
        }
    }
    out.push('"');
}
