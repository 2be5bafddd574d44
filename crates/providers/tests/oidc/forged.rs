//! Tokens that must not be believed, each differing in one thing from one that is.

use aws_lc_rs::digest::{SHA256, SHA512};
use serde_json::{Value, json};

use crate::issuer::{ACCESS_TOKEN, Issuer, exchange};
use crate::refused;
use crate::signer::{Signer, at_hash, encode};

async fn refusal(issuer: &Issuer, token: &str) -> &'static str {
    issuer.give(token);
    refused(exchange(&issuer.client()).await)
}

#[tokio::test]
async fn each_allowed_signature_is_believed_and_its_at_hash_checked() {
    let issuer = Issuer::start().await;
    for (alg, digest) in [("RS256", &SHA256), ("PS256", &SHA256), ("ES256", &SHA256), ("EdDSA", &SHA512)] {
        let mut claims = issuer.claims();
        claims["at_hash"] = json!(at_hash(digest, ACCESS_TOKEN));
        issuer.give(&issuer.signer.token(alg, &claims));
        let identity = exchange(&issuer.client()).await.unwrap();
        assert_eq!((identity.subject.as_str(), identity.email.as_deref()), ("u-1", Some("ana@example.com")));
        assert!(identity.email_verified, "{alg}");

        claims["at_hash"] = json!(at_hash(digest, "another token"));
        assert_eq!(refusal(&issuer, &issuer.signer.token(alg, &claims)).await, "wrong_access_token", "{alg}");
    }
}

#[tokio::test]
async fn wrong_claims_under_a_right_signature_are_refused() {
    let issuer = Issuer::start().await;
    let now = chrono::Utc::now().timestamp();
    for (claim, value, code) in [
        ("iss", json!("https://login.example.com"), "wrong_issuer"),
        ("aud", json!("another"), "wrong_audience"),
        ("azp", json!("another"), "wrong_audience"),
        ("nonce", json!("another"), "wrong_nonce"),
        ("nonce", Value::Null, "wrong_nonce"),
        ("exp", json!(now - 61), "expired"),
        ("iat", json!(now + 120), "not_yet_valid"),
        ("exp", json!("soon"), "bad_token"),
        ("sub", json!(""), "bad_token"),
    ] {
        let mut claims = issuer.claims();
        claims[claim] = value.clone();
        assert_eq!(refusal(&issuer, &issuer.signer.token("ES256", &claims)).await, code, "{claim} = {value}");
    }
}

#[tokio::test]
async fn tampered_tokens_are_refused() {
    let issuer = Issuer::start().await;
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = issuer.signer.token(alg, &issuer.claims());
        let parts: Vec<&str> = token.split('.').collect();
        let mut richer = issuer.claims();
        richer["email"] = json!("owner@example.com");
        let payload = format!("{}.{}.{}", parts[0], encode(richer.to_string()), parts[2]);
        assert_eq!(refusal(&issuer, &payload).await, "bad_signature", "{alg}: other claims");

        let mut first = parts[2].as_bytes().to_vec();
        first[0] = if first[0] == b'A' { b'B' } else { b'A' };
        let flipped = format!("{}.{}.{}", parts[0], parts[1], String::from_utf8(first).unwrap());
        assert_eq!(refusal(&issuer, &flipped).await, "bad_signature", "{alg}: flipped bit");
        assert_eq!(
            refusal(&issuer, &format!("{}.{}.", parts[0], parts[1])).await,
            "bad_signature",
            "{alg}: none"
        );
    }
    assert_eq!(refusal(&issuer, "nonsense").await, "bad_token");
}

#[tokio::test]
async fn unsigned_and_symmetric_tokens_are_refused_however_they_are_spelt() {
    let issuer = Issuer::start().await;
    let claims = issuer.claims();
    for alg in ["none", "None", "nOnE", "", "HS256", "HS512", "RS1"] {
        assert_eq!(
            refusal(&issuer, &issuer.signer.token(alg, &claims)).await,
            "unsupported_algorithm",
            "{alg:?}"
        );
    }
    // The same signature under another algorithm's name.
    let header = |alg: &str| encode(json!({"alg": alg, "kid": issuer.signer.kid}).to_string());
    let token = issuer.signer.token("RS256", &claims);
    let rest = token.split_once('.').unwrap().1;
    for alg in ["PS256", "ES256", "EdDSA"] {
        assert_eq!(refusal(&issuer, &format!("{}.{rest}", header(alg))).await, "bad_signature", "{alg}");
    }
}

#[tokio::test]
async fn keys_that_the_token_brings_along_or_somebody_else_holds_are_not_used() {
    let issuer = Issuer::start().await;
    let stranger = Signer::new("k-1");
    let claims = issuer.claims();
    assert_eq!(refusal(&issuer, &stranger.token("ES256", &claims)).await, "bad_signature");
    let own = stranger.jwks()["keys"][1].clone();
    let header = json!({"alg": "ES256", "kid": "k-1", "jwk": own, "jku": "https://evil.example/keys"});
    assert_eq!(refusal(&issuer, &stranger.with_header(&header, &claims)).await, "bad_signature");
    let header = json!({"alg": "ES256", "kid": "k-1", "crit": ["exp"], "exp": 1});
    assert_eq!(refusal(&issuer, &issuer.signer.with_header(&header, &claims)).await, "bad_token");
}

#[tokio::test]
async fn a_token_without_a_key_id_is_checked_with_every_key_that_fits() {
    let issuer = Issuer::start().await;
    let header = json!({"alg": "ES256"});
    issuer.give(&issuer.signer.with_header(&header, &issuer.claims()));
    assert_eq!(exchange(&issuer.client()).await.unwrap().subject, "u-1");
    let stranger = Signer::new("k-2");
    assert_eq!(refusal(&issuer, &stranger.with_header(&header, &issuer.claims())).await, "bad_signature");
}
