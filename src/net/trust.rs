//! What TLS settings mean once their files are read: whom we believe, and what we show. Nothing here remembers anything;
//! `roots` does.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use zeroize::Zeroizing;

use super::connect::Sessions;
use crate::error::{Problem, Reason};
use crate::model::Tls;
use crate::model::endpoint::{Ca, Client};

/// What is to be read.
#[derive(Clone)]
pub(super) struct Settings {
    authorities: Authorities,
    client: Option<Box<Client>>,
    /// Whether the address is spoken of by another name than its own.
    renamed: bool,
}

/// Where authorities come from.
#[derive(Clone)]
enum Authorities {
    /// A file, or a folder of files.
    Path(PathBuf),
    Pem(Box<str>),
    System,
    /// Every certificate is believed.
    Anything,
    /// There is no TLS.
    Nothing,
}

/// What changes when a file does: device, number, size, times. Of each file, those of a folder in the order of their names.
pub(super) type Stamp = Vec<(u64, u64, u64, (i64, i64), (i64, i64))>;

impl Settings {
    /// Where there is no TLS.
    pub(super) const NONE: Self = Self { authorities: Authorities::Nothing, client: None, renamed: false };

    /// With the file that stands for the system's authorities, if there is one.
    pub(super) fn of(tls: &Tls, system: Option<&Path>) -> Self {
        let authorities = match (&tls.ca, system) {
            _ if tls.skip_verify => Authorities::Anything,
            (Some(Ca::Pem(pem)), _) => Authorities::Pem(pem.clone()),
            (Some(Ca::Path(path)), _) => Authorities::Path(path.clone()),
            (None, Some(file)) => Authorities::Path(file.to_owned()),
            (None, None) => Authorities::System,
        };
        Self { authorities, client: tls.client.clone(), renamed: tls.name.is_some() }
    }

    /// What the files are now; `None` where one cannot be looked at. The system's stay as they are as long as the process runs.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let mut stamp = Vec::new();
        let mut look = |path: &Path| fs::metadata(path).ok().map(|about| stamp.push(of(&about)));
        if let Authorities::Path(path) = &self.authorities {
            look(path)?;
            if path.is_dir() {
                entries(path).ok()?.iter().try_for_each(|file| look(file))?;
            }
        }
        if let Some(Client { certificate, key }) = self.client.as_deref() {
            look(certificate)?;
            look(key)?;
        }
        Some(stamp)
    }

    /// Reads it all.
    pub(super) fn load(&self) -> Result<Arc<ClientConfig>, Problem> {
        let roots = match &self.authorities {
            Authorities::Path(path) => read(path)?,
            Authorities::Pem(pem) => spelled(pem)?,
            Authorities::System => system()?,
            Authorities::Anything | Authorities::Nothing => RootCertStore::empty(),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| Problem::new(Reason::Bug, "TLS has no version"))?;
        let builder = match &self.authorities {
            Authorities::Anything => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Believe(provider)))
            }
            Authorities::Path(_) | Authorities::Pem(_) | Authorities::System | Authorities::Nothing => {
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &self.client {
            Some(client) => showing(builder, client)?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::store(Arc::new(Sessions::new(SESSIONS)));
        // Of HTTP/2 the name that TLS asks for would be the only one; of HTTP/1.1 the Host stays the address's.
        config.alpn_protocols = match self.renamed {
            true => vec![b"http/1.1".to_vec()],
            false => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Ok(Arc::new(config))
    }
}

fn of(about: &Metadata) -> (u64, u64, u64, (i64, i64), (i64, i64)) {
    let (changed, status) = ((about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()));
    (about.dev(), about.ino(), about.len(), changed, status)
}

fn fault(path: &Path, what: impl AsRef<str>, remedy: &'static str) -> Problem {
    Problem::new(Reason::Setup, what.as_ref()).hop(path.display().to_string()).remedy(remedy)
}

/// Everything in a folder that is no folder itself: a mounted Secret keeps its files in one of those, behind links.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.take(FILES_MAX + 1) {
        files.push(entry?.path());
    }
    files.retain(|path| !path.is_dir());
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    if !path.is_dir() {
        add(&mut roots, &bytes(path, CAS)?, path)?;
        return Ok(roots);
    }
    let files = entries(path).map_err(|error| unreadable(path, CAS, &error))?;
    if files.len() > FILES_MAX {
        return Err(fault(path, format!("has more than {FILES_MAX} files"), FOLDER));
    }
    if files.is_empty() {
        return Err(fault(path, "has no files", FOLDER));
    }
    let mut total = 0;
    for file in &files {
        let bytes = bytes(file, CAS)?;
        total += bytes.len() as u64;
        if total > FOLDER_BYTES_MAX {
            return Err(fault(path, format!("has more than {FOLDER_BYTES_MAX} bytes of files"), FOLDER));
        }
        add(&mut roots, &bytes, file)?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, bytes: &[u8], path: &Path) -> Result<(), Problem> {
    every(roots, bytes).map_err(|what| fault(path, what, PEM))
}

/// Takes every certificate of a PEM, and one at least.
fn every(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), &'static str> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "is not PEM")?;
        roots.add(certificate).map_err(|_| "has a certificate that cannot be read")?;
    }
    if roots.len() == before { Err("has no certificate") } else { Ok(()) }
}

fn spelled(pem: &str) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    every(&mut roots, pem.as_bytes()).map_err(|what| {
        Problem::new(Reason::Invalid, format!("the PEM of its authorities {what}")).remedy(Ca::RULE)
    })?;
    Ok(roots)
}

/// With a certificate of our own.
fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    client: &Client,
) -> Result<ClientConfig, Problem> {
    let Client { certificate, key } = client;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&bytes(certificate, "client certificate")?).collect();
    let chain = chain.map_err(|_| fault(certificate, "is not PEM", OWN))?;
    if chain.is_empty() {
        return Err(fault(certificate, "has no certificate", OWN));
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key, "client key")?)
        .map_err(|_| fault(key, "has no private key in PEM that is not encrypted", OWN))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|_| fault(key, "is no key that can be used with the client certificate", OWN))
}

fn unreadable(path: &Path, noun: &str, error: &std::io::Error) -> Problem {
    let what = format!("the {noun} cannot be read: {}", error.kind());
    fault(path, what, "see whether the file is mounted, and its mode")
}

/// A file, which may be secret; `noun` is what it should be.
fn bytes(path: &Path, noun: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let unreadable = |error: std::io::Error| unreadable(path, noun, &error);
    // Not blocking: someone may have put a pipe there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let file = File::from(file);
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(fault(path, format!("is not a file of {noun}"), PEM));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default()));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
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

/// What authorities are called in errors.
const CAS: &str = "authorities";
const PEM: &str = "name a PEM file with one certificate or more";
const FOLDER: &str = "name a folder of PEM files, each with one certificate or more";
const OWN: &str = "name the PEM file of a certificate, and that of its key";
/// Largest file: four times what systems ship.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the files of a folder may have together.
const FOLDER_BYTES_MAX: u64 = 4 << 20;
/// Twice the files of a system's folder of authorities.
const FILES_MAX: usize = 1024;
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
