//! `MountRequest`s as the driver and the sync controller build them, byte for byte: the captured
//! requests in `tests/data/driver` hold it to them. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::clock::Wall;
use crate::model::Envelope;
use crate::proto::{MountRequest, ObjectVersion};

/// The pod that a volume is mounted for, as kubelet tells of it. Not printable: it holds tokens, as plain text, since
/// a request holds them so too.
#[derive(Clone, Default)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its name; in a sync the controller's own, or empty.
    pub name: String,
    /// Its uid; in a sync the controller's own, or empty.
    pub uid: String,
    /// The volume's name in it.
    pub volume: String,
    /// Its tokens by audience.
    pub tokens: BTreeMap<String, PodToken>,
    /// Further `volumeAttributes`, which win over the class's parameters.
    pub volume_attributes: BTreeMap<String, String>,
    /// The data of `nodePublishSecretRef`, where the volume names one.
    pub publish: Option<BTreeMap<String, String>>,
}

/// One token as kubelet hands it over.
#[derive(Clone)]
pub struct PodToken {
    /// The JWT.
    pub token: String,
    /// When it ends; told in whole seconds.
    pub expires: Wall,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Driver 1.6, at every call; drivers up to 1.5 at the first.
    Driver16,
    /// The rotation of drivers up to 1.5, with the versions that the last answer gave. It knows the class and the
    /// pod, and nothing of the volume: no `volumeAttributes`, no `nodePublishSecretRef`.
    Driver15Rotation(Vec<(String, String)>),
    /// The sync controller. Its keys win over the class's parameters.
    SyncController,
    /// Driver 1.6 on Kubernetes 1.35 or later with `serviceAccountTokenInSecrets`: the tokens stand in both places.
    TokensInSecrets,
}

/// The request for a class's parameters.
pub fn request(
    class_name: &str,
    parameters: &BTreeMap<String, String>,
    pod: &Pod,
    flavour: &Flavour,
) -> MountRequest {
    let tokens = (!pod.tokens.is_empty()).then(|| tokens(pod));
    let mut attributes = parameters.clone();
    if matches!(flavour, Flavour::Driver16 | Flavour::TokensInSecrets) {
        attributes.extend(pod.volume_attributes.clone());
        attributes.insert("secretProviderClass".to_owned(), class_name.to_owned());
        attributes.insert("csi.storage.k8s.io/ephemeral".to_owned(), "true".to_owned());
    }
    for (key, value) in [
        ("csi.storage.k8s.io/pod.name", &pod.name),
        ("csi.storage.k8s.io/pod.namespace", &pod.namespace),
        ("csi.storage.k8s.io/pod.uid", &pod.uid),
        ("csi.storage.k8s.io/serviceAccount.name", &pod.service_account),
    ] {
        attributes.insert(key.to_owned(), value.clone());
    }
    attributes.extend(tokens.clone().map(|tokens| (TOKENS.to_owned(), tokens)));
    let versions = match flavour {
        Flavour::Driver15Rotation(versions) => versions.as_slice(),
        Flavour::Driver16 | Flavour::SyncController | Flavour::TokensInSecrets => &[],
    };
    MountRequest {
        attributes: Bytes::from(marshal(&attributes)),
        secrets: Bytes::from(secrets(pod, flavour, tokens)),
        target_path: Bytes::from(target(pod, flavour)),
        // Go's `json.Marshal(os.FileMode(0644))`.
        permission: Bytes::from_static(b"420"),
        current_object_version: versions
            .iter()
            .map(|(id, version)| ObjectVersion { id: id.clone(), version: version.clone() })
            .collect(),
    }
}

/// The four parts of a request that a mount is made from.
pub fn envelope(request: MountRequest) -> Envelope {
    Envelope {
        attributes: request.attributes,
        secrets: request.secrets,
        target_path: request.target_path,
        permission: request.permission,
    }
}

fn secrets(pod: &Pod, flavour: &Flavour, tokens: Option<String>) -> String {
    let in_secrets = match flavour {
        Flavour::Driver15Rotation(_) | Flavour::SyncController => return "{}".to_owned(),
        Flavour::Driver16 => None,
        Flavour::TokensInSecrets => tokens,
    };
    let published = pod.publish.iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    let secrets: BTreeMap<_, _> =
        published.chain(in_secrets.map(|tokens| (TOKENS.to_owned(), tokens))).collect();
    // An empty map does not survive protobuf: the driver has a nil map then, which Go marshals as `null`.
    if secrets.is_empty() { "null".to_owned() } else { marshal(&secrets) }
}

fn target(pod: &Pod, flavour: &Flavour) -> String {
    match flavour {
        Flavour::SyncController => "/mnt/secrets-store".to_owned(),
        Flavour::Driver15Rotation(_) | Flavour::Driver16 | Flavour::TokensInSecrets => {
            format!("/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/{}/mount", pod.uid, pod.volume)
        }
    }
}

/// The order of the fields is Go's: that of the struct.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    #[serde(rename = "expirationTimestamp")]
    expires: String,
}

fn tokens(pod: &Pod) -> String {
    let entries = pod.tokens.iter().map(|(audience, entry)| {
        // Kubernetes writes whole seconds and leaves the fraction out.
        let expires = Wall::from_seconds(entry.expires.seconds()).to_string().replace(".000Z", "Z");
        (audience, Token { token: &entry.token, expires })
    });
    marshal(&entries.collect::<BTreeMap<_, _>>())
}

/// JSON as Go's encoder writes it: keys in order, and five characters escaped that JSON would let stand. They occur
/// inside strings only, so escaping the finished text is safe.
fn marshal(value: &impl Serialize) -> String {
    let plain = serde_json::to_string(value).expect("maps of strings always serialize");
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

const TOKENS: &str = crate::model::token::KEY;
