//! TLS towards Elasticsearch, as `ssl.*` says: whom to trust, what to check, and the client's own certificate.
//!
//! `verification_mode`: `full` and `strict` check chain and host name (a certificate without a subject alternative name has no
//! name that could match, in both); `certificate` checks the chain only; `none` checks that the server holds the certificate
//! that it shows, and nothing else.
//!
//! Invariant: whatever is wrong with certificates or keys is found here, when a configuration is taken, and not by the first
//! client that waits for a verdict.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::settings::{PemText, SSL, TlsSettings};
use crate::config::{ConfigError, VerificationMode};

/// What connections are made with.
///
/// # Errors
/// If a certificate or key is of no use.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("verification_mode", &error.to_string(), "TLS 1.2 or 1.3"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&settings.certificate, &settings.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates("certificate", certificate)?, private_key(key)?)
            .map_err(|error| {
                wrong(
                    "key",
                    &error.to_string(),
                    "the private key of `ssl.certificate`",
                )
            })?,
        (Some(_), None) => {
            return Err(wrong(
                "key",
                "nothing",
                "the private key of `ssl.certificate`",
            ));
        }
        (None, Some(_)) => {
            return Err(wrong(
                "certificate",
                "nothing",
                "the certificate of `ssl.key`",
            ));
        }
    };
    Ok(Arc::new(config))
}

fn verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
    let algorithms = provider.signature_verification_algorithms;
    if settings.mode == VerificationMode::None {
        return Ok(Arc::new(Lenient {
            algorithms,
            chain: None,
        }));
    }
    let roots = Arc::new(authorities(settings)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| {
            wrong(
                "certificate_authorities",
                &error.to_string(),
                "certificates in PEM",
            )
        })?;
    Ok(match settings.mode {
        VerificationMode::Certificate => Arc::new(Lenient {
            algorithms,
            chain: Some(verifier),
        }),
        _ => verifier,
    })
}

fn authorities(settings: &TlsSettings) -> Result<RootCertStore, ConfigError> {
    const KEY: &str = "certificate_authorities";
    let mut roots = RootCertStore::empty();
    if settings.authorities.is_empty() {
        // Some of the system's may be malformed; the others do.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(wrong(
                KEY,
                "nothing, and the system has no authorities either",
                "certificates in PEM",
            ));
        }
    }
    for pem in &settings.authorities {
        for certificate in certificates(KEY, pem)? {
            roots
                .add(certificate)
                .map_err(|error| wrong(KEY, &error.to_string(), "certificates in PEM"))?;
        }
    }
    Ok(roots)
}

fn certificates(key: &str, pem: &PemText) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(wrong(key, "no certificate", "certificates in PEM")),
        Err(error) => Err(wrong(key, &error.to_string(), "certificates in PEM")),
    }
}

fn private_key(pem: &PemText) -> Result<PrivateKeyDer<'static>, ConfigError> {
    // The error is left out: no message quotes a private key, whatever the library's does.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        wrong(
            "key",
            "no private key that can be read",
            "a private key in PEM, not encrypted",
        )
    })
}

fn wrong(key: &str, found: &str, accepted: &str) -> ConfigError {
    ConfigError::of_key(&format!("{SSL}{key}"), found.to_owned(), accepted)
}

/// Checks the chain but not the name, or (without a chain) neither.
#[derive(Debug)]
struct Lenient {
    algorithms: WebPkiSupportedAlgorithms,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last, when all else has been found in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
