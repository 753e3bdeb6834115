//! From a reply to an object: its fields, the whole as Go writes it, and what its life is like.

use std::collections::BTreeMap;
use std::time::Duration;

use zeroize::Zeroizing;

use super::envelope::{Auth, Envelope, WrapInfo};
use super::server::Server;
use crate::clock::Instant;
use crate::model::go::Json;
use crate::model::go::json::{Object, Text, Value, write_list, write_object};
use crate::model::locator::vault::{Flavour, GET, Locator};
use crate::model::{Kind, Lease, LeaseId, Material, Part};
use crate::net::Reply;
use crate::secret::Secret;

impl Server<'_> {
    /// What a reply with `data` brought.
    pub(super) fn material(
        &self,
        reply: &Reply,
        envelope: &Envelope<'_>,
        data: &Object<'_>,
        wanted: &Locator,
        issued: Instant,
    ) -> Material {
        // An object below `data` is what KV version 2 wraps its secret in.
        let inner = data.get("data").and_then(Value::object);
        let version = version(data);
        let fields = inner.unwrap_or(data).iter().map(|(name, value)| (name.to_string(), field(value)));
        // Written anew it is seldom longer than it came, so that it is made in one piece.
        let json = Json::new(reply.body.len());
        let part = Part {
            version: version.map(str::to_owned),
            body: whole(json, envelope, data, self.access.flavour),
            fields: fields.collect(),
        };
        Material { parts: vec![part], kind: kind(envelope, version, wanted, issued) }
    }
}

/// A string is its bytes, anything else its JSON text.
fn field(value: &Value<'_>) -> Secret {
    if let Value::Text(text) = value {
        return secret(text);
    }
    let mut json = Json::new(FIELD_BYTES);
    value.write(&mut json);
    json.finish()
}

/// Room for a number or a truth.
const FIELD_BYTES: usize = 16;

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
}

/// The version that KV version 2 says it read.
pub(super) fn version<'a>(data: &'a Object<'_>) -> Option<&'a str> {
    data.get("data")?.object()?;
    data.get("metadata")?.object()?.get("version")?.number()
}

fn kind(envelope: &Envelope<'_>, version: Option<&str>, wanted: &Locator, issued: Instant) -> Kind {
    if !envelope.lease_id.is_empty() {
        let granted = Duration::from_secs(u64::try_from(envelope.lease_duration).unwrap_or(0));
        let id = LeaseId(secret(&envelope.lease_id));
        return Kind::Leased(Lease { id, granted, renewable: envelope.renewable, issued });
    }
    let (path, query) = wanted.path.split_once('?').unwrap_or((&wanted.path, ""));
    let own = |place: &str| {
        let before = |at| path.get(..at).is_some_and(|before| before.is_empty() || before.ends_with('/'));
        path.match_indices(place).any(|(at, _)| before(at))
    };
    let issued_to_one = envelope.auth.is_some()
        || envelope.wrap_info.is_some()
        || matches!(&*envelope.mount_type, "cubbyhole" | "totp")
        || own("cubbyhole/")
        || own("totp/code/")
        || *wanted.method != *GET;
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("version="));
    match (issued_to_one, asked, version) {
        (true, ..) => Kind::OneShot,
        (false, Some(asked), Some(version)) if asked == version => Kind::Pinned,
        (false, ..) => Kind::Static,
    }
}

/// The whole reply, its fields in Go's order. Without a lease it has no `request_id`: its bytes shall change when the
/// secret does, and not with every request.
fn whole(mut json: Json, envelope: &Envelope<'_>, data: &Object<'_>, flavour: Flavour) -> Secret {
    let request_id = if envelope.lease_id.is_empty() { "" } else { &*envelope.request_id };
    json.raw("{\"request_id\":").string(request_id);
    json.raw(",\"lease_id\":").string(&envelope.lease_id);
    json.raw(",\"lease_duration\":").raw(&envelope.lease_duration.to_string());
    json.raw(",\"renewable\":").raw(truth(envelope.renewable));
    json.raw(",\"data\":");
    write_object(&mut json, data, Value::write);
    json.raw(",\"warnings\":");
    texts(&mut json, envelope.warnings.as_deref());
    if let Some(auth) = &envelope.auth {
        write_auth(json.raw(",\"auth\":"), auth);
    }
    if let Some(wrapped) = &envelope.wrap_info {
        write_wrap_info(json.raw(",\"wrap_info\":"), wrapped);
    }
    if flavour == Flavour::Vault && !envelope.mount_type.is_empty() {
        json.raw(",\"mount_type\":").string(&envelope.mount_type);
    }
    json.raw("}");
    json.finish()
}

fn write_auth(json: &mut Json, auth: &Auth<'_>) {
    json.raw("{\"client_token\":").string(&auth.client_token);
    json.raw(",\"accessor\":").string(&auth.accessor);
    texts(json.raw(",\"policies\":"), auth.policies.as_deref());
    texts(json.raw(",\"token_policies\":"), auth.token_policies.as_deref());
    texts(json.raw(",\"identity_policies\":"), auth.identity_policies.as_deref());
    json.raw(",\"metadata\":");
    object(json, auth.metadata.as_ref(), Text::write);
    json.raw(",\"orphan\":").raw(truth(auth.orphan));
    json.raw(",\"entity_id\":").string(&auth.entity_id);
    json.raw(",\"lease_duration\":").raw(&auth.lease_duration.to_string());
    json.raw(",\"renewable\":").raw(truth(auth.renewable));
    json.raw(",\"mfa_requirement\":");
    object(json, auth.mfa_requirement.as_ref(), Value::write);
    json.raw("}");
}

fn write_wrap_info(json: &mut Json, wrapped: &WrapInfo<'_>) {
    json.raw("{\"token\":").string(&wrapped.token);
    json.raw(",\"accessor\":").string(&wrapped.accessor);
    json.raw(",\"ttl\":").raw(&wrapped.ttl.to_string());
    let time = if wrapped.creation_time.is_empty() { NO_TIME } else { &wrapped.creation_time };
    json.raw(",\"creation_time\":").string(time);
    json.raw(",\"creation_path\":").string(&wrapped.creation_path);
    json.raw(",\"wrapped_accessor\":").string(&wrapped.wrapped_accessor).raw("}");
}

/// What Go writes for a time that was not given.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

fn texts(json: &mut Json, list: Option<&[Text<'_>]>) {
    if let Some(list) = list {
        write_list(json, list, Text::write);
    } else {
        json.raw("null");
    }
}

fn object<T>(json: &mut Json, object: Option<&BTreeMap<Text<'_>, T>>, write: fn(&T, &mut Json)) {
    if let Some(object) = object {
        write_object(json, object, write);
    } else {
        json.raw("null");
    }
}

const fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
