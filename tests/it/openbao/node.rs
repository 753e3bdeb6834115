//! A node: an agent as a process of its own before a server, and pods of namespace `web` with tokens that the server
//! takes.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use latchkey::clock::{Clock, Wall};
use latchkey::driver::{Client, Flavour, Limit, Mounted, Pod, PodToken, Refusal, request};
use serde_json::{Value, json};
use tonic::Code;

use super::bed::{Bed, bed};
use super::cluster::AUDIENCE;
use super::front::Front;
use crate::support::agent::{Agent, pod, shipped};
use crate::support::issuer::now;

/// An agent whose stores `vault` and `openbao` are a server.
pub(super) struct Node {
    pub(super) agent: Agent,
}

impl Node {
    /// Before the server at this address, whose authority is in this file, with these further settings of the store
    /// (`, role: app`), and further sections of the configuration.
    pub(super) fn before(url: &str, ca: &Path, settings: &str, more: &str) -> Self {
        let mut agent = Agent::prepare(shipped());
        let store = format!("address: \"{url}\", ca: {}, audience: {AUDIENCE}{settings}", ca.display());
        let text = format!(
            "stores:\n  vault: {{ {store} }}\n  openbao: {{ {store} }}\naudit:\n  sink: {}\n{more}",
            agent.path("audit.jsonl").display(),
        );
        std::fs::write(agent.path("latchkey.yaml"), text).unwrap();
        agent.providers = PROVIDERS;
        agent.run();
        Self { agent }
    }

    /// Before a server of a test's own, with nothing between.
    pub(super) fn at(bed: &Bed, settings: &str, more: &str) -> Self {
        Self::before(&bed.server.url(), &bed.server.ca(), settings, more)
    }

    /// A mount on a provider's socket, of a class with these parameters.
    pub(super) async fn mount(
        &self,
        provider: &str,
        pod: &Pod,
        parameters: &[(&str, &str)],
    ) -> Result<Mounted, Refusal> {
        let parameters = owned(parameters);
        let socket = self.agent.path(&format!("sockets/{provider}.sock"));
        let mut client = Client::new(socket, Clock::system()).limit(Limit::None);
        client.mount(request("class", &parameters, pod, &Flavour::Driver16), Some(KUBELET)).await
    }

    /// A mount that is delivered.
    pub(super) async fn delivered(&self, provider: &str, pod: &Pod, parameters: &[(&str, &str)]) -> Mounted {
        let answer = self.mount(provider, pod, parameters).await;
        answer.map_err(|refusal| format!("{}: {}", refusal.name(), refusal.text)).expect("it is delivered")
    }

    /// A mount that is refused: its code and text.
    pub(super) async fn refused(
        &self,
        provider: &str,
        pod: &Pod,
        parameters: &[(&str, &str)],
    ) -> (Code, String) {
        let refusal = self.mount(provider, pod, parameters).await.err().expect("it is refused");
        (Code::from_i32(refusal.code), refusal.text)
    }

    /// Runs `latchkey mount` on a manifest, as an administrator does, with the token in the node's folder, and expects it
    /// to succeed.
    pub(super) async fn command(&self, class: &Path, account: &str, out: &Path) {
        let at = |name: &str| self.agent.path(name);
        let mut command = Command::new(shipped());
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.arg("mount").arg("-f").arg(class).arg("--config").arg(at("latchkey.yaml"));
        command.args(["-s", account, "--token"]).arg(format!("{AUDIENCE}={}", at("token").display()));
        command.arg("--out").arg(out).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The process ends as at an upgrade, and another takes its place.
    pub(super) fn restart(&mut self) {
        self.agent.signal(rustix::process::Signal::TERM);
        assert_eq!(self.agent.ended(), Some(0), "it ends in good order");
        self.agent.run();
    }
}

/// A node with a proxy of its own before the server that all tests share.
pub(super) struct Counted {
    node: Node,
    pub(super) front: Front,
}

impl Counted {
    /// With these further settings of the store, and further sections of the configuration.
    pub(super) async fn start(settings: &str, more: &str) -> Self {
        let front = bed().await.front();
        let node = Node::before(&front.url(), &front.kit.ca(), settings, more);
        Self { node, front }
    }

    /// Restarts the agent.
    pub(super) fn restart(&mut self) {
        self.node.restart();
    }
}

impl Deref for Counted {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// Parameters as a class has them.
pub(super) fn owned(parameters: &[(&str, &str)]) -> BTreeMap<String, String> {
    parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The pod `web/ACCOUNT-NUMBER` with a token that the shared server takes.
pub(super) async fn holding(account: &str, number: usize) -> Pod {
    of(bed().await, account, number)
}

/// The same with a token that this server takes.
pub(super) fn of(bed: &Bed, account: &str, number: usize) -> Pod {
    with_token(account, number, bed.cluster.sign(&claims(bed, account, number)))
}

pub(super) fn claims(bed: &Bed, account: &str, number: usize) -> Value {
    let mut claims = bed.cluster.claims(account);
    let pod = with_token(account, number, String::new());
    claims["kubernetes.io"]["pod"] = json!({ "name": pod.name, "uid": pod.uid });
    claims
}

pub(super) fn with_token(account: &str, number: usize, token: String) -> Pod {
    let mut pod = pod(account);
    pod.name = format!("{account}-{number}");
    pod.uid = format!("00000000-0000-4000-8000-{number:012}");
    let expires = Wall::from_seconds(now() + 3600);
    pod.tokens.insert(AUDIENCE.to_owned(), PodToken { token, expires });
    pod
}

/// The sockets that a node serves.
pub(super) const PROVIDERS: &str = "latchkey,vault,openbao";
/// kubelet's time for a publish.
const KUBELET: Duration = Duration::from_secs(120);
