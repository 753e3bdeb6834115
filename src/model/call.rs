//! What the driver asked, checked. Everything that is wrong with the envelope is found here, at once, and without a
//! value in any text: the attributes carry the pod's tokens.

use std::collections::BTreeMap;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::FileMode;
use super::go::json::{self, First, Value};
use super::subject::{AccountName, Namespace, Pod, PodName, PodUid, Subject};
use super::token::{self, Expected, Tokens};
use crate::error::{Problem, Problems, Reason};
use crate::secret::{Digest, DigestKey, Secret};
use crate::text::{nearest, printable};

/// A `MountRequest` as it came. Not printable: it carries tokens.
#[derive(Clone, Default)]
pub struct Envelope {
    /// JSON object of strings.
    pub attributes: Bytes,
    /// `null` or a JSON object of strings.
    pub secrets: Bytes,
    /// Where kubelet wants the volume.
    pub target_path: Bytes,
    /// A decimal JSON number.
    pub permission: Bytes,
}

/// What the driver asked, checked.
pub struct Call {
    /// Who asks.
    pub subject: Subject,
    /// On whose behalf.
    pub caller: Caller,
    /// The pod's tokens, each agreeing with the subject.
    pub tokens: Tokens,
    /// The data of `nodePublishSecretRef`, where the pod names one.
    pub publish: Option<Publish>,
    /// The class's own parameters.
    pub attributes: Attributes,
    /// The class's name, for logs; absent in syncs and in rotations of drivers up to 1.5.
    pub class: Option<String>,
    /// The mode of files that ask for none.
    pub mode: FileMode,
}

/// The parameters of a class, with the pod's volumeAttributes over them; kubelet's keys, `secretProviderClass` and
/// `providerName` taken out. All of it is a tenant's text.
#[derive(Clone, Default)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// From a class's parameters.
    pub fn new(parameters: BTreeMap<String, String>) -> Self {
        Self(parameters)
    }

    /// A parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The data of `nodePublishSecretRef`: data, never configuration.
#[derive(Clone)]
pub struct Publish(BTreeMap<String, Secret>);

impl Publish {
    /// One of its keys.
    pub fn get(&self, key: &str) -> Option<&Secret> {
        self.0.get(key)
    }

    /// A digest of all of it, which tells two pods with different credentials apart.
    pub fn digest(&self, key: &DigestKey) -> Digest {
        let parts = self.0.iter().map(|(name, value)| (name, value.digest(key, b"publish").to_string()));
        let parts: Vec<(&String, String)> = parts.collect();
        key.digest(
            &parts.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect::<Vec<_>>(),
        )
    }
}

/// On whose behalf a call comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A volume of a pod on this node: the target path says so, and agrees with the pod's uid.
    Volume {
        /// The pod.
        pod: PodUid,
        /// The volume's name in it.
        volume: String,
    },
    /// The sync controller, or anything else without a volume.
    Sync,
}

/// Who holds what was delivered: a [`Caller`] once the plan is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A volume.
    Volume {
        /// The pod.
        pod: PodUid,
        /// The volume's name in it.
        volume: String,
    },
    /// A sync: of an account, of a plan.
    Sync {
        /// Whose.
        subject: Subject,
        /// Of what.
        plan: Digest,
    },
}

impl Call {
    /// Largest `attributes`, in bytes.
    pub const ATTRIBUTES_BYTES_MAX: usize = 1 << 20;

    /// Checks the envelope.
    ///
    /// # Errors
    /// All that is wrong with it: `invalid` for its form, `setup` for tokens that speak of someone else.
    pub fn parse(envelope: &Envelope) -> Result<Self, Problems> {
        Self::parse_beside(envelope, |_| None)
    }

    /// As [`Self::parse`]; where the envelope is refused although its parameters can be read, what is wrong with the
    /// `class` too is told beside it, so that everything can be mended at once.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_beside(
        envelope: &Envelope,
        class: impl FnOnce(&Attributes) -> Option<Problems>,
    ) -> Result<Self, Problems> {
        let mut raw = attributes(&envelope.attributes)?;
        let name = raw.remove("secretProviderClass").map(|name| printable(&name));
        raw.remove("providerName");
        let mut foreign = Vec::new();
        let kubelet = Kubelet::take(&mut raw, &mut foreign);
        let attributes = Attributes(raw);
        match Self::checked(envelope, kubelet, foreign) {
            Ok((mode, publish, (subject, caller, tokens))) => {
                Ok(Self { subject, caller, tokens, publish, attributes, class: name, mode })
            }
            Err(found) => Err(class(&attributes).into_iter().flatten().fold(found, Problems::and)),
        }
    }

    /// All of an envelope but the class's parameters.
    fn checked(
        envelope: &Envelope,
        kubelet: Kubelet,
        foreign: Vec<Problem>,
    ) -> Result<(FileMode, Option<Publish>, Who), Problems> {
        let mut problems = Vec::new();
        let mode = permission(&envelope.permission, &mut problems);
        let publish = publish(&envelope.secrets, &mut problems);
        problems.extend(foreign);
        Problems::check(std::mem::take(&mut problems))?;
        if envelope.target_path.is_empty() {
            let problem = Problem::new(Reason::Invalid, "is empty, and should say where the volume is");
            problems.push(problem.parameter("target_path"));
        }
        let who = kubelet.identify(&envelope.target_path, &mut problems)?;
        Problems::check(problems)?;
        Ok((mode, publish, who))
    }

    /// Who holds what this call delivers, once its plan is known.
    pub fn holder(&self, plan: Digest) -> Holder {
        match &self.caller {
            Caller::Volume { pod, volume } => Holder::Volume { pod: pod.clone(), volume: volume.clone() },
            Caller::Sync => Holder::Sync { subject: self.subject.clone(), plan },
        }
    }
}

/// Who asks, on whose behalf, and with which tokens.
type Who = (Subject, Caller, Tokens);

/// What kubelet, or the sync controller, says under `csi.storage.k8s.io/`.
struct Kubelet {
    namespace: Option<String>,
    account: Option<String>,
    pod_name: Option<String>,
    pod_uid: Option<String>,
    tokens: Option<Zeroizing<String>>,
}

const PREFIX: &str = "csi.storage.k8s.io/";
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";
const POD_NAME: &str = "csi.storage.k8s.io/pod.name";
pub(super) const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";
pub(super) const POD_UID: &str = "csi.storage.k8s.io/pod.uid";
pub(super) const ACCOUNT_NAME: &str = "csi.storage.k8s.io/serviceAccount.name";
const KEYS: [&str; 6] = [EPHEMERAL, POD_NAME, POD_NAMESPACE, POD_UID, ACCOUNT_NAME, token::KEY];

impl Kubelet {
    fn take(raw: &mut BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Self {
        let mut take = |key: &str| raw.remove(key).filter(|value| !value.is_empty());
        take(EPHEMERAL);
        let kubelet = Self {
            pod_name: take(POD_NAME),
            namespace: take(POD_NAMESPACE),
            pod_uid: take(POD_UID),
            account: take(ACCOUNT_NAME),
            tokens: take(token::KEY).map(Zeroizing::new),
        };
        for key in raw.keys().filter(|key| key.starts_with(PREFIX)) {
            let problem = Problem::new(
                Reason::Invalid,
                "only kubelet writes under `csi.storage.k8s.io/`, and not this key",
            );
            problems.push(problem.parameter(key.clone()).remedy(match nearest(key, KEYS) {
                Some(near) => format!(
                    "remove it from the class and the pod's volumeAttributes; kubelet's own is `{near}`"
                ),
                None => "remove it from the class and the pod's volumeAttributes".to_owned(),
            }));
        }
        kubelet
    }

    fn identify(self, target: &[u8], problems: &mut Vec<Problem>) -> Result<Who, Problems> {
        let namespace = required(POD_NAMESPACE, self.namespace.as_deref(), Namespace::parse, problems);
        let account = required(ACCOUNT_NAME, self.account.as_deref(), AccountName::parse, problems);
        let pod_name =
            self.pod_name.as_deref().and_then(|text| name(POD_NAME, text, PodName::parse, problems));
        let pod_uid = self.pod_uid.as_deref().and_then(|text| name(POD_UID, text, PodUid::parse, problems));
        let (Some(namespace), Some(account)) = (namespace, account) else {
            return Err(Problems::gather(std::mem::take(problems))
                .unwrap_or_else(|| Problem::new(Reason::Invalid, "the call does not say who asks").into()));
        };
        let expected = Expected { namespace: &namespace, account: &account, pod: pod_uid.as_ref() };
        let tokens = self
            .tokens
            .as_deref()
            .map_or_else(Tokens::default, |text| Tokens::parse(text, &expected, problems));
        let caller = caller(target, pod_uid.as_ref());
        let pod = match (&caller, pod_name, pod_uid) {
            (Caller::Volume { .. }, Some(name), Some(uid)) => Some(Pod { name, uid }),
            _ => None,
        };
        Ok((Subject { namespace, account, pod }, caller, tokens))
    }
}

fn required<T>(
    key: &'static str,
    text: Option<&str>,
    parse: fn(&str) -> Option<T>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let Some(text) = text else {
        let missing = Problem::new(Reason::Invalid, "is missing").parameter(key);
        problems.push(missing.remedy("set `podInfoOnMount: true` in the CSIDriver object"));
        return None;
    };
    name(key, text, parse, problems)
}

fn name<T>(
    key: &'static str,
    text: &str,
    parse: fn(&str) -> Option<T>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let name = parse(text);
    if name.is_none() {
        problems.push(Problem::new(Reason::Invalid, "is not a name that Kubernetes gives").parameter(key));
    }
    name
}

/// `…/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount`, where the uid is the pod's own.
fn caller(target: &[u8], pod: Option<&PodUid>) -> Caller {
    let path = std::str::from_utf8(target).unwrap_or("");
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let tail = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
    match (tail, pod) {
        (
            [
                Some("mount"),
                Some(volume),
                Some("kubernetes.io~csi"),
                Some("volumes"),
                Some(uid),
                Some("pods"),
            ],
            Some(pod),
        ) if uid == pod.as_str() && (1..=VOLUME_BYTES_MAX).contains(&volume.len()) => {
            Caller::Volume { pod: pod.clone(), volume: printable(volume) }
        }
        _ => Caller::Sync,
    }
}

/// Longest name of a volume, in bytes: an RFC 1123 label has 63, and whatever is longer is no volume of kubelet's.
const VOLUME_BYTES_MAX: usize = 253;

fn permission(text: &[u8], problems: &mut Vec<Problem>) -> FileMode {
    std::str::from_utf8(text).ok().and_then(FileMode::parse_permission).unwrap_or_else(|| {
        let what = "is not a decimal JSON number of permission bits, such as 420";
        problems.push(Problem::new(Reason::Invalid, what).parameter("permission"));
        FileMode::DEFAULT
    })
}

/// The data of `nodePublishSecretRef`. From Kubernetes 1.35 on kubelet may put the tokens here too; they are no data.
fn publish(text: &[u8], problems: &mut Vec<Problem>) -> Option<Publish> {
    let text = text.trim_ascii();
    if text.is_empty() || text == b"null" {
        return None;
    }
    let Some((mut values, wrong)) = json::whole(text).ok().and_then(strings) else {
        problems
            .push(Problem::new(Reason::Invalid, "is neither `null` nor a JSON object").parameter("secrets"));
        return None;
    };
    for key in wrong {
        problems.push(
            Problem::new(Reason::Invalid, "is not a string")
                .parameter("secrets")
                .object(format!("key `{key}`")),
        );
    }
    drop(values.remove(token::KEY).map(Zeroizing::new));
    let data: BTreeMap<_, _> =
        values.into_iter().map(|(key, value)| (key, Secret::from_text(value))).collect();
    (!data.is_empty()).then_some(Publish(data))
}

fn attributes(text: &[u8]) -> Result<BTreeMap<String, String>, Problems> {
    let invalid = |what: String| Problem::new(Reason::Invalid, what).parameter("attributes");
    if text.is_empty() {
        return Err(invalid("is empty, and should be a JSON object of strings".to_owned()).into());
    }
    if text.len() > Call::ATTRIBUTES_BYTES_MAX {
        let what = format!("has {} bytes, {} at most", text.len(), Call::ATTRIBUTES_BYTES_MAX);
        return Err(invalid(what).remedy("make the class smaller, or split it").into());
    }
    if std::str::from_utf8(text).is_err() {
        return Err(invalid("is not UTF-8".to_owned()).into());
    }
    let read = json::whole(text);
    let object = || invalid("is not a JSON object of strings".to_owned());
    let first = read.map_err(|(_, at)| object().at(place(text, at)))?;
    let (values, wrong) = strings(first).ok_or_else(object)?;
    let wrong = wrong.into_iter().map(|key| {
        let problem = Problem::new(Reason::Invalid, "is not a string, as the driver sends it").parameter(key);
        problem.remedy("every parameter of a class is one string")
    });
    Problems::check(wrong.collect())?;
    Ok(values)
}

/// The members of a JSON object of strings, as Go reads them: of equal names the last, `null` for an empty one. Names
/// whose value is something else are told apart. `None` for another value, which is no object.
fn strings(first: First<'_>) -> Option<(BTreeMap<String, String>, Vec<String>)> {
    let members = match first {
        First::Object(members) => members,
        First::Null => Vec::new(),
        First::Other => return None,
    };
    let (mut values, mut wrong) = (BTreeMap::new(), Vec::new());
    for (name, value) in members {
        match value {
            Value::Text(text) => drop(values.insert(name.to_string(), text.to_string())),
            Value::Null => drop(values.insert(name.to_string(), String::new())),
            Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => {
                wrong.push(printable(&name))
            }
        }
    }
    Some((values, wrong))
}

/// Line and column of what stands behind so many bytes.
fn place(text: &[u8], at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
