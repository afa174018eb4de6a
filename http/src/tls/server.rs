//! TLS of the listeners (`server.tls`).

use coo_llm_config::Tls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Why the files of `server.tls` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsError {
    /// The key of the configuration: `server.tls.cert` or `server.tls.key`.
    pub path: &'static str,
    file: PathBuf,
    reason: String,
}

impl fmt::Display for ServerTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path, self.file.display(), self.reason)
    }
}

impl std::error::Error for ServerTlsError {}

/// The certificate of the listeners, which can be read again while they run.
///
/// New connections get the newest one; those that are open keep what they have.
#[derive(Debug)]
pub struct ServerTls {
    files: Tls,
    newest: watch::Sender<Arc<ServerConfig>>,
    handshake_failures: AtomicU64,
}

/// A certificate and its key, read and found to be of use.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<ServerConfig>);

impl ServerTls {
    /// Reads certificate and key. It blocks on the disk.
    ///
    /// # Errors
    /// The file that cannot be used, and what to do about it.
    pub fn load(files: &Tls) -> Result<Self, ServerTlsError> {
        let (newest, _) = watch::channel(server_config(files)?);
        Ok(Self {
            files: files.clone(),
            newest,
            handshake_failures: AtomicU64::new(0),
        })
    }

    /// Reads both files again, without using them yet. It blocks on the disk.
    ///
    /// # Errors
    /// The file that cannot be used, and what to do about it.
    pub fn read_again(&self) -> Result<Certificate, ServerTlsError> {
        server_config(&self.files).map(Certificate)
    }

    /// Gives new connections what was read.
    pub fn use_from_now_on(&self, certificate: Certificate) {
        self.newest.send_replace(certificate.0);
    }

    /// Connections that closed before they had a TLS session: refused, given up or timed out.
    #[must_use]
    pub fn handshake_failures(&self) -> u64 {
        self.handshake_failures.load(Ordering::Relaxed)
    }

    pub(crate) fn count_failure(&self) {
        self.handshake_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// What new connections get, now and later.
    pub(crate) fn newest(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.newest.subscribe()
    }
}

fn server_config(files: &Tls) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let wrong = |path, file: &Path, reason: String| ServerTlsError {
        path,
        file: file.to_owned(),
        reason,
    };
    let wrong_cert = |reason| wrong("server.tls.cert", &files.cert, reason);
    let wrong_key = |reason| wrong("server.tls.key", &files.key, reason);
    let certs = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            wrong_cert(format!(
                "{error}; name a PEM file of the certificate chain that this user may read"
            ))
        })?;
    if certs.is_empty() {
        let reason = "holds no certificate; name a PEM file with the certificate chain, the server's own first";
        return Err(wrong_cert(reason.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        wrong_key(format!(
            "{error}; name a PEM file with one unencrypted private key that this user may read"
        ))
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => wrong_key(format!(
                "is not the key of the certificate in {}; name the two that belong together",
                files.cert.display()
            )),
            rustls::Error::InvalidCertificate(error) => wrong_cert(format!(
                "{error}; name a PEM file with the certificate chain, the server's own first"
            )),
            error => wrong_key(format!(
                "{error}; name a PEM file with an RSA, ECDSA P-256 or P-384, or Ed25519 key"
            )),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
