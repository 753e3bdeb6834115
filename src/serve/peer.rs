//! Who may speak at all: root and our own user. The socket's mode says the same; this says it again where a mount of
//! the folder or a changed mode would not, and counts who tried.

use std::io;

use tokio::net::UnixStream;

/// Lets the peer in, or says its uid.
///
/// # Errors
/// Where the kernel does not tell who the peer is.
pub(super) fn admit(stream: &UnixStream) -> io::Result<Result<(), u32>> {
    let uid = stream.peer_cred()?.uid();
    let ours = rustix::process::geteuid().as_raw();
    Ok(if uid == 0 || uid == ours { Ok(()) } else { Err(uid) })
}
