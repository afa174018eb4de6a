//! A certificate authority of our own, and server certificates for loopback.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;

/// A certificate authority; each has its own key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, for who should trust it.
    pub pem: String,
}

/// A server's certificate and its key, as PEM text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If ring makes no keys.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("ring makes a key pair");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names are valid names");
        // Without names of their own, issuer and subject of a leaf would be equal: self-signed.
        ca.distinguished_name
            .push(DnType::CommonName, "coo-llm tests CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = ca.self_signed(&key).expect("the CA's fields are complete");
        let pem = cert.pem();
        let issuer = Issuer::new(ca, key);
        Self { issuer, pem }
    }

    /// A certificate for `127.0.0.1` and `localhost`, with a new key.
    ///
    /// # Panics
    /// If ring makes no keys.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().expect("ring makes a key pair");
        let mut leaf = CertificateParams::new(names).expect("both names are valid");
        leaf.distinguished_name
            .push(DnType::CommonName, "coo-llm tests server");
        leaf.use_authority_key_identifier_extension = true;
        let cert = leaf.signed_by(&key, &self.issuer);
        let cert = cert.expect("the leaf's fields are complete").pem();
        let key = key.serialize_pem();
        Leaf { cert, key }
    }
}

impl Leaf {
    /// What a server needs of it.
    ///
    /// # Panics
    /// If certificate and key do not belong together.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .expect("the key belongs to the certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

/// What a client needs that trusts one authority.
///
/// # Panics
/// If the text is no certificate.
#[must_use]
pub fn client_config(ca_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a certificate");
    roots.add(ca).expect("a certificate of an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
