//! A Kubernetes namespace of a scenario's own, with the service account `app`.

use serde_json::{Value, json};

use crate::agent;
use crate::kubectl::{apply, attempt};
use crate::openbao;

/// Deleted with all that is in it when it is dropped; after a failure it tells first what became of its pods.
pub(crate) struct Namespace {
    pub(crate) name: &'static str,
}

impl Namespace {
    pub(crate) fn new(name: &'static str) -> Self {
        let namespace = Self { name };
        apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string());
        namespace
            .apply(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "app" } }));
        namespace
    }

    /// With a role and a policy of its name in OpenBao, and this value at `secret/NAME/value`.
    pub(crate) fn with_secret(name: &'static str, value: &str) -> Self {
        openbao::permit(name);
        openbao::kubernetes_role(name);
        openbao::put(&format!("{name}/value"), value);
        Self::new(name)
    }

    /// Applies an object in this namespace.
    pub(crate) fn apply(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.name);
        apply(&object.to_string());
    }

    pub(crate) fn class(&self, name: &str, provider: &str, parameters: Value) {
        self.class_with(name, provider, parameters, json!([]));
    }

    /// A class whose files the driver also copies into Secrets.
    pub(crate) fn class_with(&self, name: &str, provider: &str, parameters: Value, copies: Value) {
        self.apply(json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": { "name": name },
            "spec": { "provider": provider, "parameters": parameters, "secretObjects": copies },
        }));
    }

    /// The class `NAME` of the Vault provider: the file `value` from the secret of `with_secret`.
    pub(crate) fn vault_class(&self, name: &str) {
        let objects = format!(
            "- objectName: value\n  secretPath: secret/data/{}/value\n  secretKey: value\n",
            self.name
        );
        self.class(name, "vault", json!({ "roleName": self.name, "objects": objects }));
    }

    /// The class `NAME` of our own: the file `value` from a path of a store.
    pub(crate) fn native_class(&self, name: &str, store: &str, path: &str) {
        let secrets = format!("s: {{ store: {store}, path: {path} }}");
        self.class(name, "latchkey", json!({ "secrets": secrets, "files": "value: s.value" }));
    }

    /// The agent's audit lines about this namespace.
    pub(crate) fn audit(&self) -> Vec<Value> {
        agent::audit().into_iter().filter(|line| line["namespace"] == self.name).collect()
    }

    /// The reasons of mounts that were not delivered, each mount once.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut mounts: Vec<(String, String)> = self
            .audit()
            .iter()
            .filter(|line| line["event"] == "refuse" || line["event"] == "fail")
            .map(|line| (line["mount"].to_string(), line["reason"].as_str().unwrap_or_default().to_owned()))
            .collect();
        mounts.sort();
        mounts.dedup();
        mounts.into_iter().map(|(_, reason)| reason).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let described = attempt("kubectl", &["-n", self.name, "describe", "pods"], "");
            eprintln!("{}", described.unwrap_or_else(|error| error));
            for line in self.audit() {
                eprintln!("{line}");
            }
        }
        let _ = attempt("kubectl", &["delete", "namespace", self.name, "--wait=false"], "");
    }
}
