//! Pods that mount volumes of the driver, and what is to be seen of them.

use serde_json::{Value, json};

use crate::agent;
use crate::kubectl::{attempt, eventually, get, holds, kubectl};
use crate::namespace::Namespace;

/// The name of the driver that asks again within seconds.
pub(crate) const DRIVER: &str = "secrets-store.csi.k8s.io";

/// The driver with its default of two minutes between polls, where this version has one beside the other: that is how
/// a first mount that failed may be taken for one that is done.
pub(crate) fn patient_driver() -> &'static str {
    if agent::driver().starts_with("1.6.") { "slow.csi.k8s.io" } else { DRIVER }
}

/// A pod before it is started.
pub(crate) struct Draft {
    name: String,
    volumes: Vec<(String, String, &'static str)>,
    user: Option<u32>,
}

pub(crate) fn draft(name: &str) -> Draft {
    Draft { name: name.to_owned(), volumes: Vec::new(), user: None }
}

impl Draft {
    /// The files of this class at `/mnt/VOLUME`.
    pub(crate) fn volume(mut self, volume: &str, class: &str) -> Self {
        self.volumes.push((volume.to_owned(), class.to_owned(), DRIVER));
        self
    }

    /// The same through the patient driver.
    pub(crate) fn patient_volume(mut self, volume: &str, class: &str) -> Self {
        self.volumes.push((volume.to_owned(), class.to_owned(), patient_driver()));
        self
    }

    pub(crate) fn user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn start(self, namespace: &Namespace) -> Pod {
        namespace.apply(self.manifest());
        Pod { namespace: namespace.name, name: self.name }
    }

    /// Its container tells at its start which volumes were empty then.
    fn manifest(&self) -> Value {
        let script = "for v in /mnt/*; do ls $v | grep -q . || echo $v is empty; done; exec sleep 2147483647";
        let mut container = json!({
            "name": "app", "image": "localhost/busybox:bed", "imagePullPolicy": "Never",
            "command": ["/bin/sh", "-c", script],
            "volumeMounts": self.volumes.iter().map(|(volume, _, _)| {
                json!({ "name": volume, "mountPath": format!("/mnt/{volume}"), "readOnly": true })
            }).collect::<Vec<_>>(),
        });
        if let Some(user) = self.user {
            container["securityContext"] = json!({ "runAsUser": user, "runAsNonRoot": true });
        }
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": self.name },
            "spec": {
                "serviceAccountName": "app", "automountServiceAccountToken": false, "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 0, "containers": [container],
                "volumes": self.volumes.iter().map(|(volume, class, driver)| json!({
                    "name": volume,
                    "csi": { "driver": driver, "readOnly": true, "volumeAttributes": { "secretProviderClass": class } },
                })).collect::<Vec<_>>(),
            },
        })
    }
}

/// A pod in the cluster.
pub(crate) struct Pod {
    namespace: &'static str,
    name: String,
}

impl Pod {
    fn object(&self) -> Value {
        get(&["-n", self.namespace, "pod", &self.name])
    }

    pub(crate) fn uid(&self) -> String {
        self.object()["metadata"]["uid"].as_str().expect("a uid").to_owned()
    }

    /// Waits until its container runs. It must have started once, and with no volume empty.
    pub(crate) fn ready(&self) {
        eventually("a running pod", || {
            let status = &self.object()["status"]["containerStatuses"][0];
            holds(status["ready"] == true, || format!("{status} {:?}", self.failures()))
        });
        self.never_was_empty();
    }

    /// That its one container started with something in every volume, and was not started again.
    pub(crate) fn never_was_empty(&self) {
        let status = &self.object()["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 0, "it was started again");
        assert_eq!(kubectl(&["-n", self.namespace, "logs", &self.name]), "", "of {}", self.name);
    }

    /// That none of its containers has started.
    pub(crate) fn waits(&self) {
        let status = &self.object()["status"];
        assert_eq!(status["phase"], "Pending");
        assert!(status["containerStatuses"][0]["state"]["running"].is_null(), "{status}");
    }

    /// What a command in its container prints.
    pub(crate) fn run(&self, command: &[&str]) -> Result<String, String> {
        attempt("kubectl", &[&["-n", self.namespace, "exec", &self.name, "--"], command].concat(), "")
    }

    /// The file `VOLUME/PATH` as its container reads it.
    pub(crate) fn file(&self, path: &str) -> String {
        self.run(&["cat", &format!("/mnt/{path}")]).unwrap_or_else(|error| error)
    }

    /// Waits until its container reads this.
    pub(crate) fn reads(&self, path: &str, content: &str) {
        eventually("the file's content", || {
            let file = self.file(path);
            holds(file == content, || file)
        });
    }

    /// The texts of its failed mounts, each with how often it was told.
    pub(crate) fn failures(&self) -> Vec<(String, u64)> {
        let about = format!("involvedObject.name={},reason=FailedMount", self.name);
        let events = get(&["-n", self.namespace, "events", "--field-selector", &about]);
        let failure = |event: &Value| {
            (event["message"].as_str().unwrap_or_default().to_owned(), event["count"].as_u64().unwrap_or(1))
        };
        events["items"].as_array().into_iter().flatten().map(failure).collect()
    }

    /// Waits for a failed mount whose text has these words.
    pub(crate) fn fails(&self, words: &str) {
        eventually("the event of a failed mount", || {
            let failures = self.failures();
            holds(failures.iter().any(|(text, _)| text.contains(words)), || format!("{failures:?}"))
        });
    }

    /// When the agent last gave a volume its files.
    pub(crate) fn last_success(&self, volume: &str) -> Option<f64> {
        let labels =
            format!("{{namespace=\"{}\",pod=\"{}\",volume=\"{volume}\"}}", self.namespace, self.name);
        agent::figure(&format!("latchkey_volume_last_success_timestamp_seconds{labels}"))
    }

    /// Waits until the agent has answered for a volume that many times more.
    pub(crate) fn polls(&self, volume: &str, times: usize) {
        for _ in 0..times {
            let before = self.last_success(volume);
            eventually("another poll", || {
                let now = self.last_success(volume);
                holds(now.is_some() && now != before, || format!("{now:?}"))
            });
        }
    }
}
