//! TLS towards providers.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is trusted, and the digest of the further roots: of nothing where there are none.
pub(crate) struct Trust {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) further_roots: [u8; 32],
}

/// TLS towards a store: trusts whom providers' TLS trusts, and the roots of a PEM file.
///
/// # Errors
/// One line that names the file and why it cannot be used.
pub fn client_tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let trust = client_config(ca_file);
    trust
        .map(|trust| trust.config)
        .map_err(|(path, reason)| format!("ca_file {}: {reason}", path.display()))
}

/// Trusts the system's roots, or Mozilla's where the system has none, and those of a PEM file.
///
/// # Errors
/// The file and why it cannot be used.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Trust, (PathBuf, String)> {
    let mut further = Sha256::new();
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    let (_taken, refused) = roots.add_parsable_certificates(system.certs);
    if refused > 0 {
        tracing::warn!(refused, "root certificates of the system cannot be parsed");
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = ca_file {
        let fail = |reason: String| (path.to_owned(), reason);
        let certs = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
        let mut found = false;
        for cert in certs {
            let cert = cert.map_err(|error| fail(error.to_string()))?;
            further.update(&cert);
            roots.add(cert).map_err(|error| fail(error.to_string()))?;
            found = true;
        }
        if !found {
            return Err(fail("holds no certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Trust {
        config: Arc::new(config),
        further_roots: further.finalize().into(),
    })
}
