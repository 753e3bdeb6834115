//! The one table from a reason to the gRPC code that leaves `Mount`. Only final codes stand in it: with rotation on,
//! kubelet takes the others for "perhaps done" and the pod starts with an empty volume (seen with driver 1.6.0;
//! `tests/cluster/recovery.rs`).

use tonic::{Code, Status};

use crate::error::{Problems, Reason};

/// The code of a reason.
pub const fn code(reason: Reason) -> Code {
    match reason {
        Reason::Invalid => Code::InvalidArgument,
        Reason::Policy | Reason::Forbidden => Code::PermissionDenied,
        Reason::Setup | Reason::TooLarge => Code::FailedPrecondition,
        Reason::Expired | Reason::Login => Code::Unauthenticated,
        Reason::NotFound => Code::NotFound,
        Reason::Throttled
        | Reason::Unreachable
        | Reason::Timeout
        | Reason::Upstream
        | Reason::Busy
        | Reason::Bug => Code::Internal,
    }
}

/// Whether a mount may end in this code.
pub const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Internal
    )
}

/// A mount's error as the driver reads it. A plain status: `MountResponse.error.code` would make it drop the text.
pub(super) fn status(problems: &Problems) -> Status {
    Status::new(code(problems.reason()), problems.text())
}
