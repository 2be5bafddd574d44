//! Sign-in through an identity provider over real sockets on loopback: against independent software
//! (`real`), and against an issuer that lies (`forged`) or behaves badly (`trouble`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod forged;
mod issuer;
mod real;
mod signer;
mod trouble;

use domain::oidc::{Identity, OidcFault};
use providers::oidc::{OidcConfig, TIME_LIMIT};

const REDIRECT_URI: &str = "http://127.0.0.1:9/back?from=idp";

/// Settings for a provider on loopback.
fn config(issuer: &str, client_id: &str, secret: &str) -> OidcConfig {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    OidcConfig {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: secret.to_owned().into(),
        scopes: "openid email profile".to_owned(),
        time_limit: TIME_LIMIT,
    }
}

/// The code of a permanent fault.
fn refused(outcome: Result<Identity, OidcFault>) -> &'static str {
    match outcome {
        Err(OidcFault::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

/// The code of a passing fault.
fn unreachable(outcome: Result<Identity, OidcFault>) -> &'static str {
    match outcome {
        Err(OidcFault::Unreachable { code, .. }) => code,
        other => panic!("not unreachable: {other:?}"),
    }
}
