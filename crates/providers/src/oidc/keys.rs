//! A provider's public keys, and which of them may check a given signature. Keys of unknown kinds are
//! passed over: a provider may publish more than is used here.

use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

/// The signatures that are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    /// Ed25519 only.
    EdDsa,
}

impl Algorithm {
    /// By its JOSE name; `None` for all that is not believed, `none` and `HS256` among them.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    pub(super) fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A key set as it comes: each key is read on its own, so that an odd one spoils no other.
#[derive(Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys that may check ID tokens.
pub(super) struct Keys(Vec<Jwk>);

impl From<KeySet> for Keys {
    fn from(set: KeySet) -> Self {
        Self(
            set.keys
                .into_iter()
                .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
                .filter(|key| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig"))
                .collect(),
        )
    }
}

impl Keys {
    /// The keys that fit: of the algorithm's kind, not meant for another algorithm, and of that id when the
    /// token names one.
    pub(super) fn fitting(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<DecodingKey> {
        self.0
            .iter()
            .filter(|key| kid.is_none() || key.kid.as_deref() == kid)
            .filter(|key| key.alg.as_deref().is_none_or(|name| Algorithm::named(name) == Some(algorithm)))
            .filter_map(|key| key.for_algorithm(algorithm))
            .collect()
    }
}

impl Jwk {
    fn for_algorithm(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        let (x, curve) = (self.x.as_deref(), self.crv.as_deref());
        match (algorithm, self.kty.as_str(), curve) {
            (Algorithm::Rs256 | Algorithm::Ps256, "RSA", _) => {
                DecodingKey::from_rsa_components(self.n.as_deref()?, self.e.as_deref()?).ok()
            }
            (Algorithm::Es256, "EC", Some("P-256")) => {
                DecodingKey::from_ec_components(x?, self.y.as_deref()?).ok()
            }
            (Algorithm::EdDsa, "OKP", Some("Ed25519")) => DecodingKey::from_ed_components(x?).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(keys: &Value) -> Keys {
        serde_json::from_value::<KeySet>(json!({ "keys": keys })).unwrap().into()
    }

    #[test]
    fn only_four_signatures_are_believed() {
        for name in ["none", "None", "NONE", "", "HS256", "HS512", "RS1", "ES512", "rs256"] {
            assert!(Algorithm::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn keys_are_told_apart_by_kind_purpose_algorithm_and_id() {
        let rsa = |extra: Value| {
            let mut key = json!({"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"});
            key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            key
        };
        let count = |set: Value, algorithm, kid| keys(&set).fitting(algorithm, kid).len();
        assert_eq!(count(json!([rsa(json!({}))]), Algorithm::Rs256, Some("a")), 1);
        assert_eq!(count(json!([rsa(json!({}))]), Algorithm::Ps256, None), 1);
        assert_eq!(count(json!([rsa(json!({}))]), Algorithm::Rs256, Some("b")), 0);
        assert_eq!(count(json!([rsa(json!({}))]), Algorithm::Es256, Some("a")), 0);
        assert_eq!(count(json!([rsa(json!({"use": "enc"}))]), Algorithm::Rs256, Some("a")), 0);
        assert_eq!(count(json!([rsa(json!({"alg": "PS256"}))]), Algorithm::Rs256, Some("a")), 0);
        assert_eq!(count(json!([rsa(json!({"alg": "RSA-OAEP"}))]), Algorithm::Rs256, Some("a")), 0);
        // A shared secret can never be taken for a public key.
        assert_eq!(count(json!([{"kty": "oct", "kid": "a", "k": "AQAB"}]), Algorithm::Rs256, Some("a")), 0);
        // Odd neighbours do no harm.
        let mixed = json!([7, {"kty": 1}, {"kty": "AKP"}, rsa(json!({"n": "%"})), rsa(json!({}))]);
        assert_eq!(count(mixed, Algorithm::Rs256, Some("a")), 1);
    }
}
