//! The two methods of `v1alpha1.CSIDriverProvider`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tonic::{Request, Response, Status};

use super::code::status;
use super::guard::{Admission, Held};
use crate::dialect::Dialect;
use crate::driver;
use crate::engine::{self, Engine, Order, Origin};
use crate::model::Rendered;
use crate::proto;
use crate::proto::csi_driver_provider_server::CsiDriverProvider;

/// One provider's service: what differs between sockets is the dialect.
pub(super) struct Provider {
    pub(super) engine: Arc<Engine>,
    pub(super) dialect: Arc<dyn Dialect>,
}

#[tonic::async_trait]
impl CsiDriverProvider for Provider {
    async fn version(
        &self,
        _: Request<proto::VersionRequest>,
    ) -> Result<Response<proto::VersionResponse>, Status> {
        Ok(Response::new(proto::VersionResponse {
            version: proto::API_VERSION.to_owned(),
            runtime_name: proto::RUNTIME_NAME.to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn mount(
        &self,
        request: Request<proto::MountRequest>,
    ) -> Result<Response<proto::MountResponse>, Status> {
        let deadline = match request.extensions().get::<Admission>() {
            Some(admission) => {
                admission.begun.store(true, Ordering::Relaxed);
                admission.deadline
            }
            None => return Err(status(&engine::bug().into())),
        };
        let message = request.into_inner();
        let order = Order {
            dialect: Arc::clone(&self.dialect),
            envelope: driver::envelope(message),
            deadline,
            origin: Origin::Driver,
        };
        match self.engine.mount(order).await {
            Ok(delivery) => {
                let mut answer = Response::new(response(delivery.rendered));
                if !delivery.claims.is_empty() {
                    answer.extensions_mut().insert(Held::new(delivery.claims));
                }
                Ok(answer)
            }
            Err(problems) => Err(status(&problems)),
        }
    }
}

/// The answer as the contract wants it; contents are shared with the encoder, not copied.
pub fn response(rendered: Rendered) -> proto::MountResponse {
    let (files, versions) = rendered.into_parts();
    proto::MountResponse {
        object_version: versions
            .into_iter()
            .map(|version| proto::ObjectVersion { id: version.id, version: version.version })
            .collect(),
        error: None,
        files: files
            .into_iter()
            .map(|file| proto::File {
                path: file.path.as_str().to_owned(),
                mode: file.mode.bits().into(),
                contents: file.contents.share(),
            })
            .collect(),
    }
}
