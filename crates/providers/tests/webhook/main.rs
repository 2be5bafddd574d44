//! Deliveries over real sockets on loopback: what arrives at a receiver that
//! verifies, and what never arrives anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod delivery;
mod receiver;
mod tls;

use std::time::Duration;

use chrono::Utc;
use providers::webhook::{Delivery, WebhookConfig, generate_secret};

/// A delivery with a fresh secret and the present time.
fn delivery(url: impl Into<String>) -> Delivery {
    Delivery {
        url: url.into(),
        event_id: "evt_0197c1".to_owned(),
        event_type: "payout.sent".to_owned(),
        timestamp: Utc::now(),
        body: r#"{"type":"payout.sent","data":{"note":"né"}}"#.as_bytes().to_vec(),
        secrets: vec![generate_secret()],
        timeout: Duration::from_secs(5),
    }
}

/// The default rules with these networks opened.
fn config(allow: &[&str]) -> WebhookConfig {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    WebhookConfig {
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        ..WebhookConfig::default()
    }
}
