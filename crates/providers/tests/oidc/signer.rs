//! Signs tokens with keys of its own, by hand: every header and claim can be as wrong as a test wants.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// One key of each kind.
pub(crate) struct Signer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    /// Goes into every header and key.
    pub(crate) kid: String,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
            kid: kid.to_owned(),
        }
    }

    /// The public halves.
    pub(crate) fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "RSA", "kid": self.kid, "use": "sig", "n": encode(self.modulus()), "e": "AQAB"},
            {"kty": "EC", "kid": self.kid, "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])},
            {"kty": "OKP", "kid": self.kid, "crv": "Ed25519", "x": encode(self.ed.public_key().as_ref())},
            {"kty": "odd", "kid": self.kid},
        ]})
    }

    /// The modulus, which is no secret: what the classic trick takes as an HMAC key.
    pub(crate) fn modulus(&self) -> Vec<u8> {
        self.rsa.public_key().modulus().big_endian_without_leading_zero().to_vec()
    }

    /// A token of these claims, signed as `alg` says.
    pub(crate) fn token(&self, alg: &str, claims: &Value) -> String {
        self.with_header(&json!({"alg": alg, "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A token with a header of its own.
    pub(crate) fn with_header(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.sign(header["alg"].as_str().unwrap(), signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    fn sign(&self, alg: &str, data: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let by_rsa = |padding: &'static signature::RsaSignatureEncoding| {
            let mut out = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &random, data, &mut out).unwrap();
            out
        };
        match alg {
            "RS256" => by_rsa(&signature::RSA_PKCS1_SHA256),
            "PS256" => by_rsa(&signature::RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&random, data).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(data).as_ref().to_vec(),
            "HS256" => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.modulus()), data).as_ref().to_vec()
            }
            _ => Vec::new(),
        }
    }
}

/// The `at_hash` of an access token, for a signature with this digest.
pub(crate) fn at_hash(digest: &'static digest::Algorithm, access_token: &str) -> String {
    let hash = digest::digest(digest, access_token.as_bytes());
    encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
