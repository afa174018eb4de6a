//! A certificate authority of our own and a server certificate for loopback.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// An acceptor with a fresh certificate, and the PEM text of the CA that signed it.
pub(super) fn acceptor() -> (TlsAcceptor, String) {
    let ca_key = KeyPair::generate().expect("ring makes a key pair");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names are valid names");
    // Without names of their own, issuer and subject of the leaf would be equal: self-signed.
    ca.distinguished_name
        .push(DnType::CommonName, "coo-llm tests CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca
        .self_signed(&ca_key)
        .expect("the CA's fields are complete");
    let ca_pem = ca_cert.pem();
    let issuer = Issuer::new(ca, ca_key);

    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf_key = KeyPair::generate().expect("ring makes a key pair");
    let mut leaf = CertificateParams::new(names).expect("both names are valid");
    leaf.distinguished_name
        .push(DnType::CommonName, "coo-llm tests upstream");
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf
        .signed_by(&leaf_key, &issuer)
        .expect("the leaf's fields are complete");

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}
