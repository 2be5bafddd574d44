//! Certificates: one that is trusted, and the ways not to be.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use providers::webhook::{ConfigError, WebhookClient, WebhookConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::receiver::serve;
use crate::{config, delivery};

/// A TLS receiver with a certificate of its own for `name`; where, and the PEM.
async fn tls_receiver(name: &str) -> (SocketAddr, String) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let settings = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, made.cert.pem())
}

fn trusting(pem: &str) -> WebhookConfig {
    WebhookConfig { extra_roots_pem: pem.as_bytes().to_vec(), ..config(&["127.0.0.1/32"]) }
}

#[tokio::test]
async fn a_trusted_certificate_delivers() {
    let (address, pem) = tls_receiver("localhost").await;
    let client = WebhookClient::new(trusting(&pem)).unwrap();
    let outcome = client.deliver(delivery(format!("https://localhost:{}/", address.port()))).await.unwrap();
    assert_eq!(outcome.status, 204);
}

#[tokio::test]
async fn unknown_issuers_wrong_names_and_plain_text_are_tls_errors() {
    let (unknown, _) = tls_receiver("localhost").await;
    let (elsewhere, pem) = tls_receiver("elsewhere.example").await;
    let plain = serve(Router::new().route("/", post(|| async {}))).await;
    let client = WebhookClient::new(trusting(&pem)).unwrap();
    for address in [unknown, elsewhere, plain] {
        let url = format!("https://localhost:{}/", address.port());
        let error = client.deliver(delivery(&url)).await.unwrap_err();
        assert_eq!(error.code(), "tls", "{error:?}");
    }
}

#[test]
fn roots_that_are_not_certificates_are_refused_at_start() {
    let error = WebhookClient::new(trusting("not a certificate")).unwrap_err();
    assert!(matches!(error, ConfigError::NoRoots | ConfigError::Roots(_)), "{error:?}");
}
