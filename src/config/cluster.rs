//! `cluster` and `versions`: what the agent asks of the API server of its own cluster, and as whom.

use std::path::PathBuf;

use super::tree::{Findings, Section};
use crate::cluster::Config;
use crate::model::Address;

/// What Kubernetes sets in every container.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
/// The port to [`HOST`].
const PORT: &str = "KUBERNETES_SERVICE_PORT";

pub(super) fn cluster(
    section: &Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> Config {
    let credentials = section.text("credentials", findings).unwrap_or(Config::CREDENTIALS);
    Config {
        address: address(environment),
        credentials: PathBuf::from(credentials),
        token_request: section.bool("tokenRequest", findings).unwrap_or(false),
    }
}

/// The address as Kubernetes tells it; no fault of the configuration where it is absent, since the same file is checked
/// outside the cluster too.
fn address(environment: &dyn Fn(&str) -> Option<String>) -> Option<Address> {
    let host = environment(HOST)?;
    let port = environment(PORT).unwrap_or_else(|| "443".to_owned());
    // A literal IPv6 address stands there without brackets.
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Address::parse(&format!("https://{host}:{port}"))
}

/// The Secret with the version key, by a name that Kubernetes takes.
pub(super) fn version_secret(section: &Section<'_>, findings: &mut Findings) -> Option<String> {
    let name = section.text("secret", findings)?;
    if section.has("keyFile") {
        findings.add(
            "versions.secret",
            section.value("secret"),
            "stands beside `versions.keyFile`",
            "keep one of the two".to_owned(),
        );
    }
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && name.starts_with(|c: char| c != '-' && c != '.')
        && name.ends_with(|c: char| c != '-' && c != '.');
    if !is_name {
        let remedy =
            "write its name alone, like `vault-csi-provider-hmac-key`: it is in the agent's namespace"
                .to_owned();
        findings.add("versions.secret", section.value("secret"), "is no name of a Secret", remedy);
    }
    is_name.then(|| name.to_owned())
}
