//! TLS from the first byte and by STARTTLS: who is trusted, and that it can't be stripped.

use std::sync::Arc;

use domain::mail::MailFault;
use providers::smtp::{SmtpClient, SmtpConfig, SmtpConfigError};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sandbox::smtp::MailCatcher;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{LOOPBACK, catcher, config, mail};

/// TLS in front of a catcher, with a certificate of its own for `name`; its port, and the PEM.
async fn wrapped(catcher: &MailCatcher, name: &str) -> (u16, String) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let settings = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = catcher.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut behind = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    (port, made.cert.pem())
}

fn trusting(url: &str, pem: &str) -> SmtpConfig {
    SmtpConfig { extra_roots_pem: pem.as_bytes().to_vec(), ..config(url) }
}

#[tokio::test]
async fn a_trusted_certificate_delivers() {
    let catcher = catcher().await;
    let (port, pem) = wrapped(&catcher, "localhost").await;
    let client = SmtpClient::new(trusting(&format!("smtps://localhost:{port}"), &pem)).unwrap();
    for _ in 0..2 {
        client.send(&mail("zoe@example.com")).await.unwrap();
    }
    assert_eq!(catcher.mails().len(), 2);
}

#[tokio::test]
async fn unknown_issuers_wrong_names_and_plain_text_are_tls_faults() {
    let catcher = catcher().await;
    let (unknown, _) = wrapped(&catcher, "localhost").await;
    let (elsewhere, pem) = wrapped(&catcher, "elsewhere.example").await;
    for url in [
        format!("smtps://localhost:{unknown}"),
        format!("smtps://localhost:{elsewhere}"),
        format!("smtps://localhost:{}", catcher.address().port()),
        // The catcher has no STARTTLS: required means that nothing is sent.
        format!("{}?tls=required", catcher.url()),
    ] {
        let fault =
            SmtpClient::new(trusting(&url, &pem)).unwrap().send(&mail("zoe@example.com")).await.unwrap_err();
        assert!(matches!(fault, MailFault::Unreachable { code: "tls", .. }), "{url}: {fault:?}");
    }
    assert!(catcher.mails().is_empty());
    let opportunistic = config(&format!("{}?tls=opportunistic", catcher.url()));
    SmtpClient::new(opportunistic).unwrap().send(&mail("zoe@example.com")).await.unwrap();
}

#[test]
fn roots_that_are_not_certificates_are_refused_at_start() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["not a certificate", broken] {
        let error = SmtpClient::new(trusting("smtps://localhost", pem)).unwrap_err();
        assert!(matches!(error, SmtpConfigError::NoRoots | SmtpConfigError::Roots(_)), "{error:?}");
    }
}
