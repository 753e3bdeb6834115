//! Whether a server asked for a certificate that we do not have. One that insists on it says so by breaking off, often only
//! after the handshake, which looks like any other lost connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use super::connect::Step;
use super::failure::Failure;

/// Shows nothing, and remembers that it was asked to. One for each pool, so that it knows of which server.
#[derive(Debug, Default)]
pub(super) struct Asked {
    asked: AtomicBool,
    /// Many servers ask, and serve whoever has none.
    served: AtomicBool,
}

impl Asked {
    /// The server answered.
    pub(super) fn served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// What a failure of this server's probably is.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let broken = matches!(failure, Failure::Broken | Failure::Lost(Step::Shaking) | Failure::TlsRefused);
        let asked = self.asked.load(Ordering::Relaxed) && !self.served.load(Ordering::Relaxed);
        if broken && asked { Failure::Certificate } else { failure }
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
