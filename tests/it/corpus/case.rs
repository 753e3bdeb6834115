//! The recorded cases, as `tests/corpus/README.md` describes them.

use std::fs;
use std::path::{Path, PathBuf};

use latchkey::proto::MountRequest;
use serde::Deserialize;

/// One mount, what it made of the backend, and what came of it.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) title: String,
    pub(crate) provider: String,
    pub(crate) request: Request,
    pub(crate) wire: Vec<Call>,
    pub(crate) expect: Outcome,
    /// Why we answer otherwise on purpose.
    pub(crate) differs: Option<String>,
    /// What we answer then.
    pub(crate) latchkey: Option<Outcome>,
}

/// Mounts of one pod, one after the other.
#[derive(Deserialize)]
pub(crate) struct Sequence {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) provider: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) request: Request,
    pub(crate) wire: Vec<Call>,
    pub(crate) expect: Outcome,
}

/// The fields of a `MountRequest`.
#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) attributes: String,
    pub(crate) secrets: String,
    pub(crate) permission: String,
    pub(crate) target_path: String,
}

/// A request that reached the backend.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) namespace: Option<String>,
    /// Whether it had a session's token.
    pub(crate) token: bool,
    /// In a login the pod's token is `<jwt>`.
    pub(crate) body: Option<String>,
    /// Whose token a login showed.
    #[serde(default)]
    pub(crate) jwt: Option<Jwt>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Jwt {
    #[serde(default)]
    pub(crate) aud: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) ok: bool,
    #[serde(default)]
    pub(crate) files: Vec<File>,
    #[serde(default)]
    pub(crate) versions: Vec<Version>,
    /// Where it failed.
    #[serde(default)]
    pub(crate) stage: String,
    /// What the failure named.
    #[serde(default)]
    pub(crate) names: Vec<String>,
    /// Our reason, in `latchkey` only.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// In `latchkey` only, where the calls differ too.
    #[serde(default)]
    pub(crate) wire: Option<Vec<Call>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) mode: i32,
    pub(crate) sha256: String,
    #[serde(default)]
    pub(crate) text: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) version: String,
}

/// The address of the backend when the cases were recorded.
pub(crate) const RECORDED: &str = "127.0.0.1:18200";

impl Request {
    /// The request, for a backend at this port.
    pub(crate) fn at(&self, port: u16) -> MountRequest {
        MountRequest {
            attributes: moved(&self.attributes, port).into_bytes().into(),
            secrets: self.secrets.clone().into_bytes().into(),
            target_path: self.target_path.clone().into(),
            permission: self.permission.clone().into_bytes().into(),
            current_object_version: Vec::new(),
        }
    }
}

/// The attributes with the recorded address in their address parameters, and nowhere else, replaced.
fn moved(attributes: &str, port: u16) -> String {
    let here = format!("127.0.0.1:{port}");
    let mut out = String::with_capacity(attributes.len());
    for (index, piece) in attributes.split(RECORDED).enumerate() {
        if index > 0 {
            let before = out.rsplit_once('"').map_or("", |(before, _)| before.trim_end());
            let is_address =
                before.strip_suffix(':').is_some_and(|key| key.trim_end().ends_with("Address\""));
            out.push_str(if is_address { &here } else { RECORDED });
        }
        out.push_str(piece);
    }
    out
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn lines<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let text = fs::read_to_string(folder().join(name)).expect(name);
    text.lines().map(|line| serde_json::from_str(line).expect(name)).collect()
}

/// The cases of a provider.
pub(crate) fn cases(provider: &str) -> Vec<Case> {
    lines(&format!("{provider}/cases.jsonl"))
}

/// The sequences of a provider.
pub(crate) fn sequences(provider: &str) -> Vec<Sequence> {
    lines(&format!("{provider}/sequences.jsonl"))
}
