//! The agent as `serve --stateless` runs it, in this process: its sockets, its engine, its store, before a stub.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use latchkey::app::{self, Settings};
use latchkey::clock::Clock;
use latchkey::config;
use latchkey::telemetry::Metrics;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::case::{Call, Request};
use super::compare::Answer;
use super::stub::Stub;
use crate::support::channel::{channel, mount};

/// The key under which the versions were recorded.
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What an administrator writes for it: the stub is the server of both providers.
pub(crate) fn configuration(folder: &Path, port: u16) -> PathBuf {
    let key = folder.join("version.key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    let text = format!(
        "stores:\n  vault: {{ address: \"http://127.0.0.1:{port}\" }}\n  openbao: {{ address: \"http://127.0.0.1:{port}\" }}\n\
         versions: {{ keyFile: {} }}\naudit: {{ sink: {} }}\n",
        key.display(),
        folder.join("audit.jsonl").display(),
    );
    let file = folder.join("latchkey.yaml");
    fs::write(&file, text).unwrap();
    file
}

pub(crate) struct Served {
    folder: tempfile::TempDir,
    stub: Stub,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let (folder, stub) = (tempfile::tempdir().unwrap(), Stub::start());
        let file = configuration(folder.path(), stub.port);
        let mut config = config::load(Some(&file)).unwrap_or_else(|problems| panic!("{problems}"));
        config.limits.keep.stateless = true;
        let settings = Settings {
            socket_dir: folder.path().to_owned(),
            other_socket_dirs: Vec::new(),
            providers: vec!["vault".to_owned(), "openbao".to_owned()],
            admin: ([127, 0, 0, 1], 0).into(),
            around: |store| store,
            stdout: Box::new(std::io::sink()),
            watch: None,
            level: None,
            end: Box::new(|| panic!("the runtime stands still")),
        };
        let metrics = Metrics::new("0", false, Clock::system());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            app::serve(settings, config, metrics, stopped)
                .await
                .unwrap_or_else(|problems| panic!("{problems}"));
        });
        let served = Self { folder, stub, stop: Some(stop), running: Some(running) };
        for _ in 0..3_000 {
            if ["vault", "openbao"].iter().all(|provider| served.socket(provider).exists()) {
                return served;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no sockets");
    }

    fn socket(&self, provider: &str) -> PathBuf {
        self.folder.path().join(format!("{provider}.sock"))
    }

    pub(crate) fn channel(&self, provider: &str) -> Channel {
        channel(&self.socket(provider))
    }

    pub(crate) async fn answer(&self, channel: &Channel, request: &Request) -> Answer {
        ask(&self.stub, channel, request).await
    }

    pub(crate) async fn end(mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

/// One mount, and what of it reached the stub, which nobody else asks meanwhile.
pub(crate) async fn ask(stub: &Stub, channel: &Channel, request: &Request) -> Answer {
    let before: Vec<Call> = stub.take();
    assert!(before.is_empty(), "asked between two mounts: {before:?}");
    let outcome = mount(channel, request.at(stub.port)).await;
    Answer { outcome, wire: stub.take() }
}
