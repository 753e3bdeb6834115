//! A provider on a real socket that answers whatever the test wants. Stops when it is dropped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::stream;
use latchkey::proto::csi_driver_provider_server::{CsiDriverProvider, CsiDriverProviderServer};
use latchkey::proto::{File, MountRequest, MountResponse, ObjectVersion, VersionRequest, VersionResponse};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, transport};

/// How it answers a `Mount`.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These files, and a version for each.
    Files(Vec<(&'static str, i32, Vec<u8>)>),
    /// Exactly this.
    Raw(MountResponse),
    /// This status.
    Status(tonic::Code, &'static str),
    /// Nothing, ever.
    Hang,
}

/// One `Mount` as it arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) request: MountRequest,
    pub(crate) grpc_timeout: Option<String>,
}

/// The running provider.
pub(crate) struct Provider {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
    _folder: tempfile::TempDir,
}

struct State {
    reply: Reply,
    seen: Vec<Seen>,
    name: &'static str,
}

impl Provider {
    /// Starts one that calls itself `name`.
    pub(crate) fn start(name: &'static str, reply: Reply) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(Mutex::new(State { reply, seen: Vec::new(), name }));
        let service = CsiDriverProviderServer::new(Service(Arc::clone(&state)));
        let incoming = stream::unfold(listener, |listener| async move {
            Some((listener.accept().await.map(|(stream, _)| stream), listener))
        });
        let mut server = JoinSet::new();
        server.spawn(async move {
            transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(Box::pin(incoming))
                .await
                .unwrap();
        });
        Self { path, state, _server: server, _folder: folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on answers like this.
    pub(crate) fn reply(&self, reply: Reply) {
        self.state.lock().unwrap().reply = reply;
    }

    /// Every `Mount` so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl CsiDriverProvider for Service {
    async fn version(&self, request: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        let (name, hang) = {
            let state = self.0.lock().unwrap();
            (state.name, matches!(state.reply, Reply::Hang))
        };
        if hang {
            std::future::pending::<()>().await;
        }
        let version = request.into_inner().version;
        Ok(Response::new(VersionResponse {
            version,
            runtime_name: name.into(),
            runtime_version: "1.2.3".into(),
        }))
    }

    async fn mount(&self, request: Request<MountRequest>) -> Result<Response<MountResponse>, Status> {
        let timeout = request.metadata().get("grpc-timeout").map(|value| value.to_str().unwrap().to_owned());
        let reply = {
            let mut state = self.0.lock().unwrap();
            state.seen.push(Seen { request: request.into_inner(), grpc_timeout: timeout });
            state.reply.clone()
        };
        match reply {
            Reply::Files(files) => Ok(Response::new(answer(files))),
            Reply::Raw(raw) => Ok(Response::new(raw)),
            Reply::Status(code, text) => Err(Status::new(code, text)),
            Reply::Hang => std::future::pending().await,
        }
    }
}

fn answer(files: Vec<(&'static str, i32, Vec<u8>)>) -> MountResponse {
    let version = |path: &str| ObjectVersion { id: path.into(), version: "v1".into() };
    MountResponse {
        object_version: files.iter().map(|(path, ..)| version(path)).collect(),
        error: None,
        files: files
            .into_iter()
            .map(|(path, mode, contents)| File { path: path.into(), mode, contents: contents.into() })
            .collect(),
    }
}
