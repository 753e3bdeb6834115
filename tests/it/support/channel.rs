//! The driver's one connection: many calls at once over it, made anew at the path when it ends, and the driver's
//! retries of calls that were lost with it.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use latchkey::proto::csi_driver_provider_client::CsiDriverProviderClient;
use latchkey::proto::{MountRequest, MountResponse};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

/// How often a call is sent that is lost with its connection.
const ATTEMPTS: u32 = 3;
/// How long kubelet waits for a publish.
const KUBELET: Duration = Duration::from_secs(120);

/// A connection to `path`, made when it is first used.
pub(crate) fn channel(path: &Path) -> Channel {
    counted(path).0
}

/// The same, and how often it was made.
pub(crate) fn counted(path: &Path) -> (Channel, Arc<AtomicUsize>) {
    let (path, made) = (path.to_owned(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&made);
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        count.fetch_add(1, Ordering::Relaxed);
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    (Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect), made)
}

/// One attempt.
pub(crate) async fn mount(channel: &Channel, request: MountRequest) -> Result<MountResponse, Status> {
    let mut client = CsiDriverProviderClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let mut request = Request::new(request);
    request.set_timeout(KUBELET);
    client.mount(request).await.map(tonic::Response::into_inner)
}

/// As the driver asks: it waits for a connection as long as there is none, and sends a call that was lost again.
/// Also how often it was sent.
pub(crate) async fn mount_like_the_driver(
    channel: &Channel,
    request: &MountRequest,
) -> (Result<MountResponse, Status>, u32) {
    let start = std::time::Instant::now();
    let mut sent = 0;
    loop {
        let answer = mount(channel, request.clone()).await;
        match answer {
            Err(status) if start.elapsed() > KUBELET => return (Err(status), sent),
            Err(status) if is_unconnected(&status) => {}
            Err(status) if is_lost(&status) => {
                sent += 1;
                if sent == ATTEMPTS {
                    return (Err(status), sent);
                }
            }
            answer => return (answer, sent + 1),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the status was made on this side: no `grpc-status` came.
fn is_lost(status: &Status) -> bool {
    status.source().is_some() || status.code() == Code::Unavailable
}

/// Whether there was not even a connection to send it on.
fn is_unconnected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// The files of an answer by path.
pub(crate) fn contents(answer: &MountResponse) -> BTreeMap<&str, &Bytes> {
    answer.files.iter().map(|file| (file.path.as_str(), &file.contents)).collect()
}
