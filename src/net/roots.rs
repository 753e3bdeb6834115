//! The authorities that certificates are checked against: of a file, or the system's. A file is read again when it
//! changes; one that turned bad is reported, and what it said before goes on.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::connect::Sessions;
use super::failure::Failure;
use crate::clock::{Clock, Instant};
use crate::error::{Problem, Reason};
use crate::model::{Address, Tls};

/// How certificates are checked, and of which reading of the file.
#[derive(Clone)]
pub(super) struct Trust {
    pub(super) version: u64,
    pub(super) config: Arc<ClientConfig>,
}

/// What was read of each file.
pub(super) struct Roots {
    clock: Clock,
    system: Option<PathBuf>,
    /// Where there is no TLS.
    nothing: Result<Trust, Problem>,
    held: Mutex<BTreeMap<Tls, Held>>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Held {
    looked: Instant,
    stamp: Option<Stamp>,
    trust: Trust,
}

/// What changes when a file does: device, number, size, time.
type Stamp = (u64, u64, u64, (i64, i64));

impl Roots {
    pub(super) fn new(system: Option<PathBuf>, clock: Clock) -> Self {
        let nothing = load(&Source::Nothing).map(|(_, config)| Trust { version: 0, config });
        Self { clock, system, nothing, held: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// What these settings mean now. Where there is no TLS, nothing is read.
    pub(super) async fn trust(&self, address: &Address, tls: &Tls) -> Result<Trust, Failure> {
        if !matches!(address, Address::Web { secure: true, .. }) {
            return self.nothing.clone().map_err(Failure::Roots);
        }
        if let Some(trust) = self.current(tls) {
            return Ok(trust);
        }
        let _turn = self.turn.lock().await;
        match self.current(tls) {
            Some(trust) => Ok(trust),
            None => self.look_again(tls).await.map_err(Failure::Roots),
        }
    }

    /// What is held, where it was looked at a moment ago.
    fn current(&self, tls: &Tls) -> Option<Trust> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.get(tls)?;
        (self.clock.now().since(held.looked) < LOOK_EVERY).then(|| held.trust.clone())
    }

    async fn look_again(&self, tls: &Tls) -> Result<Trust, Problem> {
        let source = match (&tls.ca, &self.system) {
            _ if tls.skip_verify => Source::Anything,
            (Some(file), _) | (None, Some(file)) => Source::File(file.clone()),
            (None, None) => Source::System,
        };
        let now = self.clock.now();
        let known = self.held(|all| {
            // Whoever comes while the file is read goes on with what it said before.
            let held = all.get_mut(tls)?;
            held.looked = now;
            Some(held.clone())
        });
        let stamp = known.as_ref().and_then(|known| known.stamp);
        let looking = tokio::task::spawn_blocking(move || {
            let unchanged = stamp.is_some() && source.stamp() == stamp;
            (!unchanged).then(|| load(&source).map_err(|problem| (source.stamp(), problem)))
        });
        let looked =
            looking.await.map_err(|_| Problem::new(Reason::Bug, "reading authorities broke down"))?;
        let version = known.as_ref().map_or(1, |known| known.trust.version + 1);
        let held = match (known, looked) {
            (Some(known), None) => return Ok(known.trust),
            (_, Some(Ok((stamp, config)))) => Held { looked: now, stamp, trust: Trust { version, config } },
            (Some(known), Some(Err((stamp, problem)))) => {
                if stamp != known.stamp {
                    tracing::warn!("authorities are kept as they were: {problem}");
                }
                Held { looked: now, stamp, ..known }
            }
            (None, Some(Err((_, problem)))) => return Err(problem),
            (None, None) => {
                return Err(Problem::new(Reason::Bug, "authorities are unchanged that were never read"));
            }
        };
        let trust = held.trust.clone();
        self.held(|all| all.insert(tls.clone(), held));
        Ok(trust)
    }

    fn held<T>(&self, with: impl FnOnce(&mut BTreeMap<Tls, Held>) -> T) -> T {
        with(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where authorities come from.
#[derive(Clone)]
enum Source {
    File(PathBuf),
    System,
    /// Every certificate is believed.
    Anything,
    /// There is no TLS.
    Nothing,
}

impl Source {
    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::File(file) => fs::metadata(file).ok().map(|about| stamp(&about)),
            // They stay as they are as long as the process runs.
            Self::System | Self::Anything | Self::Nothing => Some((0, 0, 0, (0, 0))),
        }
    }
}

fn stamp(about: &Metadata) -> Stamp {
    (about.dev(), about.ino(), about.len(), (about.mtime(), about.mtime_nsec()))
}

fn load(source: &Source) -> Result<(Option<Stamp>, Arc<ClientConfig>), Problem> {
    let (stamp, roots) = match source {
        Source::File(file) => {
            let (stamp, roots) = read(file)?;
            (Some(stamp), roots)
        }
        Source::System => (source.stamp(), system()?),
        Source::Anything | Source::Nothing => (source.stamp(), RootCertStore::empty()),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| Problem::new(Reason::Bug, "TLS has no version"))?;
    let builder = match source {
        Source::Anything => builder.dangerous().with_custom_certificate_verifier(Arc::new(Believe(provider))),
        Source::File(_) | Source::System | Source::Nothing => builder.with_root_certificates(roots),
    };
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(Sessions::new(SESSIONS)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((stamp, Arc::new(config)))
}

fn read(path: &Path) -> Result<(Stamp, RootCertStore), Problem> {
    let fault = |what: &str, remedy: &'static str| {
        Problem::new(Reason::Setup, what).hop(path.display().to_string()).remedy(remedy)
    };
    let unreadable = |error: std::io::Error| {
        fault(
            &format!("the authorities cannot be read: {}", error.kind()),
            "see whether the file is mounted, and its mode",
        )
    };
    // Not blocking: someone may have put a pipe there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let file = File::from(file);
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(fault("is not a file of authorities", PEM));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|_| fault("is not PEM", PEM))?;
        roots.add(certificate).map_err(|_| fault("has a certificate that cannot be read", PEM))?;
    }
    if roots.is_empty() {
        return Err(fault("has no certificate", PEM));
    }
    Ok((stamp(&about), roots))
}

fn system() -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let problem = Problem::new(Reason::Setup, "this machine has no file of authorities to trust");
        return Err(problem.remedy("set `ca` of the store, or SSL_CERT_FILE, to a PEM file of authorities"));
    }
    Ok(roots)
}

const PEM: &str = "name a PEM file with one certificate or more";
/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Largest file of authorities: four times what systems ship.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Servers of which a TLS session is remembered.
const SESSIONS: usize = 64;

/// Believes every certificate, where the administrator says so.
#[derive(Debug)]
struct Believe(Arc<CryptoProvider>);

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
