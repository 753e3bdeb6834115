//! What every reply is wrapped in, read as Go's decoder reads it: names in any case, the last one wins, two `data` are
//! merged, `null` changes no plain field, and a field of the wrong type fails the whole. A reply with none of the fields
//! is taken for the data itself.

use std::collections::BTreeMap;

use crate::model::go::json::{self, First, Flaw, Object, Text, Value, is};

/// A reply.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub(super) request_id: Text<'a>,
    pub(super) lease_id: Text<'a>,
    pub(super) lease_duration: i64,
    pub(super) renewable: bool,
    pub(super) data: Option<Object<'a>>,
    pub(super) warnings: Option<Vec<Text<'a>>>,
    pub(super) auth: Option<Auth<'a>>,
    pub(super) wrap_info: Option<WrapInfo<'a>>,
    pub(super) mount_type: Text<'a>,
    /// It has no field of its own: `data` is the whole reply.
    pub(super) bare: bool,
}

/// What a login gave.
#[derive(Default)]
pub(super) struct Auth<'a> {
    pub(super) client_token: Text<'a>,
    pub(super) accessor: Text<'a>,
    pub(super) policies: Option<Vec<Text<'a>>>,
    pub(super) token_policies: Option<Vec<Text<'a>>>,
    pub(super) identity_policies: Option<Vec<Text<'a>>>,
    pub(super) metadata: Option<BTreeMap<Text<'a>, Text<'a>>>,
    pub(super) orphan: bool,
    pub(super) entity_id: Text<'a>,
    pub(super) lease_duration: i64,
    pub(super) renewable: bool,
    pub(super) mfa_requirement: Option<Object<'a>>,
    pub(super) num_uses: i64,
}

/// A reply that is kept elsewhere, and the token that fetches it.
#[derive(Default)]
pub(super) struct WrapInfo<'a> {
    pub(super) token: Text<'a>,
    pub(super) accessor: Text<'a>,
    pub(super) ttl: i64,
    pub(super) creation_time: Text<'a>,
    pub(super) creation_path: Text<'a>,
    pub(super) wrapped_accessor: Text<'a>,
}

/// Why a body is no reply of this kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There is none.
    Empty,
    /// It is no JSON object.
    Foreign,
    /// It is deeper, or has more values, than we read.
    Bounds,
    /// A field of the envelope is not what it always is.
    Field(&'static str),
}

impl<'a> Envelope<'a> {
    /// Reads a body. `null` is an envelope without anything in it.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Unusable> {
        if body.is_empty() {
            return Err(Unusable::Empty);
        }
        let members = match json::first(body) {
            Ok(First::Object(members)) => members,
            Ok(First::Null) => return Ok(Self::default()),
            Ok(First::Other) | Err(Flaw::Syntax) => return Err(Unusable::Foreign),
            Err(Flaw::Bounds) => return Err(Unusable::Bounds),
        };
        let mut envelope = Self::default();
        let mut others = Object::new();
        for (name, value) in members {
            if let Some((name, value)) = envelope.set(name, value).map_err(Unusable::Field)? {
                others.insert(name, value);
            }
        }
        if envelope.is_zero() && !others.is_empty() {
            envelope.data = Some(others);
            envelope.bare = true;
        }
        Ok(envelope)
    }

    /// Takes a member in; gives back one that is not the envelope's, or the name of the field that it does not fit.
    fn set(
        &mut self,
        name: Text<'a>,
        value: Value<'a>,
    ) -> Result<Option<(Text<'a>, Value<'a>)>, &'static str> {
        let Some(field) = FIELDS.into_iter().find(|field| is(&name, field)) else {
            return Ok(Some((name, value)));
        };
        let fits = match field {
            "request_id" => text(&mut self.request_id, value),
            "lease_id" => text(&mut self.lease_id, value),
            "lease_duration" => integer(&mut self.lease_duration, &value),
            "renewable" => truth(&mut self.renewable, &value),
            "data" => object(&mut self.data, value),
            "warnings" => texts(&mut self.warnings, value),
            "auth" => structure(&mut self.auth, value, Auth::set),
            "wrap_info" => structure(&mut self.wrap_info, value, WrapInfo::set),
            _ => text(&mut self.mount_type, value),
        };
        fits.map(|()| None).ok_or(field)
    }

    fn is_zero(&self) -> bool {
        let plain = self.request_id.is_empty() && self.lease_id.is_empty() && self.mount_type.is_empty();
        let made = self.data.is_some() || self.warnings.is_some() || self.auth.is_some();
        plain && self.lease_duration == 0 && !self.renewable && !made && self.wrap_info.is_none()
    }
}

const FIELDS: [&str; 9] = [
    "request_id",
    "lease_id",
    "lease_duration",
    "renewable",
    "data",
    "warnings",
    "auth",
    "wrap_info",
    "mount_type",
];

impl<'a> Auth<'a> {
    fn set(&mut self, name: &str, value: Value<'a>) -> Option<()> {
        match name {
            name if is(name, "client_token") => text(&mut self.client_token, value),
            name if is(name, "accessor") => text(&mut self.accessor, value),
            name if is(name, "policies") => texts(&mut self.policies, value),
            name if is(name, "token_policies") => texts(&mut self.token_policies, value),
            name if is(name, "identity_policies") => texts(&mut self.identity_policies, value),
            name if is(name, "metadata") => strings(&mut self.metadata, value),
            name if is(name, "orphan") => truth(&mut self.orphan, &value),
            name if is(name, "entity_id") => text(&mut self.entity_id, value),
            name if is(name, "lease_duration") => integer(&mut self.lease_duration, &value),
            name if is(name, "renewable") => truth(&mut self.renewable, &value),
            name if is(name, "mfa_requirement") => object(&mut self.mfa_requirement, value),
            name if is(name, "num_uses") => integer(&mut self.num_uses, &value),
            _ => Some(()),
        }
    }
}

impl<'a> WrapInfo<'a> {
    fn set(&mut self, name: &str, value: Value<'a>) -> Option<()> {
        match name {
            name if is(name, "token") => text(&mut self.token, value),
            name if is(name, "accessor") => text(&mut self.accessor, value),
            name if is(name, "ttl") => integer(&mut self.ttl, &value),
            name if is(name, "creation_time") => text(&mut self.creation_time, value),
            name if is(name, "creation_path") => text(&mut self.creation_path, value),
            name if is(name, "wrapped_accessor") => text(&mut self.wrapped_accessor, value),
            _ => Some(()),
        }
    }
}

fn text<'a>(slot: &mut Text<'a>, value: Value<'a>) -> Option<()> {
    match value {
        Value::Null => Some(()),
        Value::Text(text) => {
            *slot = text;
            Some(())
        }
        Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => None,
    }
}

fn integer(slot: &mut i64, value: &Value<'_>) -> Option<()> {
    match value {
        Value::Null => Some(()),
        Value::Number(text) => {
            *slot = text.parse().ok()?;
            Some(())
        }
        Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => None,
    }
}

fn truth(slot: &mut bool, value: &Value<'_>) -> Option<()> {
    match value {
        Value::Null => Some(()),
        Value::Bool(value) => {
            *slot = *value;
            Some(())
        }
        Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => None,
    }
}

fn object<'a>(slot: &mut Option<Object<'a>>, value: Value<'a>) -> Option<()> {
    match value {
        Value::Null => *slot = None,
        Value::Object(more) => slot.get_or_insert_default().extend(more),
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => return None,
    }
    Some(())
}

fn texts<'a>(slot: &mut Option<Vec<Text<'a>>>, value: Value<'a>) -> Option<()> {
    let one = |value| {
        let mut one = Text::default();
        text(&mut one, value).map(|()| one)
    };
    *slot = match value {
        Value::Null => None,
        Value::List(values) => Some(values.into_iter().map(one).collect::<Option<_>>()?),
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) => return None,
    };
    Some(())
}

fn strings<'a>(slot: &mut Option<BTreeMap<Text<'a>, Text<'a>>>, value: Value<'a>) -> Option<()> {
    match value {
        Value::Null => *slot = None,
        Value::Object(more) => {
            let slot = slot.get_or_insert_default();
            for (name, value) in more {
                text(slot.entry(name).or_default(), value)?;
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => return None,
    }
    Some(())
}

fn structure<'a, T: Default>(
    slot: &mut Option<T>,
    value: Value<'a>,
    set: fn(&mut T, &str, Value<'a>) -> Option<()>,
) -> Option<()> {
    match value {
        Value::Null => *slot = None,
        Value::Object(members) => {
            let slot = slot.get_or_insert_default();
            members.into_iter().try_for_each(|(name, value)| set(slot, &name, value))?;
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => return None,
    }
    Some(())
}
