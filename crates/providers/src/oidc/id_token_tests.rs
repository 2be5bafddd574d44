//! The claims' checks, one wrong claim at a time. Signatures are checked over sockets in `tests/oidc`.

#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::json;

const NOW: i64 = 1_800_000_000;

fn claims(change: impl FnOnce(&mut Value)) -> Claims {
    let mut claims = json!({
        "iss": "https://login.example.com", "sub": "u-1", "aud": "countersign",
        "exp": NOW + 300, "iat": NOW, "nonce": "n-1",
    });
    change(&mut claims);
    serde_json::from_value(claims).unwrap()
}

fn check(change: impl FnOnce(&mut Value)) -> &'static str {
    let expected = Expected {
        issuer: "https://login.example.com",
        client_id: "countersign",
        nonce: "n-1",
        now: DateTime::from_timestamp(NOW, 0).unwrap(),
    };
    claims(change).check(&expected).map_or_else(|fault| fault.code(), |()| "ok")
}

#[test]
fn every_claim_is_checked() {
    for (claim, value, code) in [
        ("sub", json!("u-2"), "ok"),
        ("iss", json!("https://login.example.com/"), "wrong_issuer"),
        ("aud", json!("other"), "wrong_audience"),
        ("aud", json!([]), "wrong_audience"),
        ("aud", json!(["countersign"]), "ok"),
        ("aud", json!(["countersign", "other"]), "wrong_audience"),
        ("azp", json!("countersign"), "ok"),
        ("azp", json!("other"), "wrong_audience"),
        ("nonce", json!("n-2"), "wrong_nonce"),
        ("nonce", Value::Null, "wrong_nonce"),
        ("exp", json!(NOW - 59), "ok"),
        ("exp", json!(NOW - 60), "expired"),
        ("exp", json!(-1e300), "expired"),
        ("iat", json!(NOW + 60), "ok"),
        ("iat", json!(NOW + 61), "not_yet_valid"),
        ("nbf", json!(NOW + 61), "not_yet_valid"),
        ("sub", json!(""), "bad_token"),
        ("sub", json!("x".repeat(256)), "bad_token"),
    ] {
        assert_eq!(check(|claims| claims[claim] = value.clone()), code, "{claim} = {value}");
    }
    let both = |claims: &mut Value| {
        claims["aud"] = json!(["countersign", "other"]);
        claims["azp"] = json!("countersign");
    };
    assert_eq!(check(both), "ok");
}

#[test]
fn a_token_without_a_required_claim_is_none() {
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let mut whole = json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1, "iat": 1});
        whole.as_object_mut().unwrap().remove(name);
        assert!(serde_json::from_value::<Claims>(whole).is_err(), "{name}");
    }
}

#[test]
fn headers_of_other_kinds_are_refused() {
    let header = |json: &str| {
        read_header(&format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(json))).map_err(|fault| fault.code())
    };
    assert_eq!(header(r#"{"alg":"ES256","kid":"k"}"#).unwrap().kid.as_deref(), Some("k"));
    for alg in ["none", "nOnE", "HS256", "HS512", "RS512", ""] {
        let refusal = header(&format!(r#"{{"alg":"{alg}"}}"#)).unwrap_err();
        assert_eq!(refusal, "unsupported_algorithm", "{alg}");
    }
    assert_eq!(header(r#"{"alg":"RS256","crit":["b64"]}"#).unwrap_err(), "bad_token");
    assert_eq!(header("{}").unwrap_err(), "bad_token");
    assert_eq!(header(r#"{"alg":"none","alg":"RS256"}"#).unwrap_err(), "bad_token");
    assert_eq!(read_header("").unwrap_err().code(), "bad_token");
    assert_eq!(read_header("a.b.c.d.e").unwrap_err().code(), "unsupported");
}

#[test]
fn the_access_token_must_be_the_one_that_was_hashed() {
    // The example of the standard's appendix A.3.
    let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    let claims = claims(|claims| claims["at_hash"] = json!("77QmUPtjPfzWtF2AnpK9RQ"));
    assert_eq!(claims.check_access_token(Algorithm::Rs256, Some(token)), Ok(()));
    for wrong in [Some("another"), None] {
        let fault = claims.check_access_token(Algorithm::Rs256, wrong).unwrap_err();
        assert_eq!(fault.code(), "wrong_access_token");
    }
    assert!(claims.check_access_token(Algorithm::EdDsa, Some(token)).is_err());
}

#[test]
fn optional_claims_are_cleaned_and_an_address_keeps_its_own_check_mark() {
    let identity = claims(|claims| {
        claims["name"] = json!("  Ana\u{0007}\u{0000} L\u{f3}pez ");
        claims["amr"] = json!(["pwd", 7, "otp"]);
        claims["acr"] = json!("2");
        claims["auth_time"] = json!(NOW - 5);
        claims["email_verified"] = json!(true);
    })
    .identity();
    assert_eq!(identity.name.as_deref(), Some("Ana L\u{f3}pez"));
    assert_eq!(identity.amr, ["pwd", "otp"]);
    assert_eq!(identity.acr.as_deref(), Some("2"));
    assert_eq!(identity.auth_time.unwrap().timestamp(), NOW - 5);
    assert!(!identity.email_verified, "a check mark without an address means nothing");

    let mut later = identity;
    add_profile(&mut later, json!({"email": "ana@example.com"}).as_object().unwrap());
    assert_eq!((later.email.as_deref(), later.email_verified), (Some("ana@example.com"), false));
    add_profile(&mut later, json!({"email": "eve@example.com", "email_verified": true}).as_object().unwrap());
    assert_eq!((later.email.as_deref(), later.email_verified), (Some("ana@example.com"), false));

    for (mark, believed) in
        [(json!(true), true), (json!("true"), true), (json!("yes"), false), (json!(1), false)]
    {
        let identity = claims(|claims| {
            claims["email"] = json!("ana@example.com");
            claims["email_verified"] = mark.clone();
        })
        .identity();
        assert_eq!(identity.email_verified, believed, "{mark}");
    }
    for odd in ["", "ana", "@x", "a@", "a b@example.com", "a@example.com\r\nBcc: x"] {
        assert_eq!(claims(|claims| claims["email"] = json!(odd)).identity().email, None, "{odd:?}");
    }
}
