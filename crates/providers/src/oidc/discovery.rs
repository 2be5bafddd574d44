//! What a provider announces about itself (OpenID Connect Discovery 1.0), and whether this client can
//! work with it. Refused here is refused before anybody is sent away to sign in.

use domain::oidc::OidcFault;
use serde::Deserialize;
use url::Url;

use super::config::{check_address, is_loopback};
use super::http::refused;
use super::keys::Algorithm;

/// The document as it comes.
#[derive(Deserialize)]
pub(super) struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
}

/// The parts that are used, checked.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) client_auth: ClientAuth,
}

/// How the client proves itself at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// `client_secret_basic`, the standard's default.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// Where the document of an issuer is.
pub(super) fn location(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

impl Document {
    pub(super) fn check(self, issuer: &str) -> Result<Metadata, OidcFault> {
        if self.issuer != issuer {
            return Err(refused(
                "wrong_issuer",
                "the provider announces another issuer than COUNTERSIGN_OIDC_ISSUER; copy the `issuer` of its \
                 discovery document, letter by letter",
            ));
        }
        // Whoever asks for TLS with the issuer gets it for everything.
        let plain = Url::parse(issuer).is_ok_and(|url| url.scheme() == "http" && is_loopback(&url));
        let address = |name: &str, text: &str| {
            check_address(text, plain)
                .map_err(|why| refused("unsupported", format!("the provider's {name} {why}")))
        };
        let offers = |list: &Option<Vec<String>>, wanted: &str| {
            list.as_ref().is_some_and(|list| list.iter().any(|offered| offered == wanted))
        };
        if self.code_challenge_methods_supported.is_some()
            && !offers(&self.code_challenge_methods_supported, "S256")
        {
            return Err(refused(
                "unsupported",
                "the provider does not offer PKCE with S256; switch it on there",
            ));
        }
        if let Some(algorithms) = &self.id_token_signing_alg_values_supported
            && !algorithms.iter().any(|name| Algorithm::named(name).is_some())
        {
            return Err(refused(
                "unsupported",
                "the provider signs ID tokens with none of RS256, PS256, ES256 and EdDSA; choose one there",
            ));
        }
        let methods = &self.token_endpoint_auth_methods_supported;
        let client_auth = if methods.is_none() || offers(methods, "client_secret_basic") {
            ClientAuth::Basic
        } else if offers(methods, "client_secret_post") {
            ClientAuth::Post
        } else {
            return Err(refused(
                "unsupported",
                "the provider's token endpoint takes neither client_secret_basic nor client_secret_post; allow one there",
            ));
        };
        Ok(Metadata {
            authorization_endpoint: address("authorization endpoint", &self.authorization_endpoint)?,
            token_endpoint: address("token endpoint", &self.token_endpoint)?,
            jwks_uri: address("key address", &self.jwks_uri)?,
            userinfo_endpoint: match &self.userinfo_endpoint {
                Some(text) => Some(address("userinfo endpoint", text)?),
                None => None,
            },
            client_auth,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://login.example.com/";

    fn check(change: impl FnOnce(&mut Value)) -> Result<Metadata, (&'static str, String)> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example.com/auth",
            "token_endpoint": "https://login.example.com/token",
            "jwks_uri": "https://keys.example.com/jwks",
            "something_new": {"deep": [1]},
        });
        change(&mut document);
        let document: Document = serde_json::from_value(document).unwrap();
        document.check(ISSUER).map_err(|fault| (fault.code(), fault.to_string()))
    }

    #[test]
    fn the_location_has_one_slash() {
        for issuer in ["https://a.example/x", "https://a.example/x/"] {
            assert_eq!(location(issuer), "https://a.example/x/.well-known/openid-configuration");
        }
    }

    #[test]
    fn what_is_left_out_means_the_standards_defaults() {
        let metadata = check(|_| {}).unwrap();
        assert_eq!(metadata.client_auth, ClientAuth::Basic);
        assert!(metadata.userinfo_endpoint.is_none());
        let post = check(|d| d["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]));
        assert_eq!(post.unwrap().client_auth, ClientAuth::Post);
    }

    #[test]
    fn what_cannot_work_or_be_trusted_is_refused() {
        for (field, value, code, word) in [
            ("issuer", json!("https://login.example.com"), "wrong_issuer", "letter by letter"),
            (
                "token_endpoint",
                json!("http://login.example.com/token"),
                "unsupported",
                "token endpoint must use https",
            ),
            ("jwks_uri", json!("http://127.0.0.1/keys"), "unsupported", "key address must use https"),
            ("authorization_endpoint", json!("javascript:alert(1)"), "unsupported", "must be an https URL"),
            ("userinfo_endpoint", json!("nowhere"), "unsupported", "userinfo endpoint is not a URL"),
            ("code_challenge_methods_supported", json!(["plain"]), "unsupported", "PKCE"),
            ("id_token_signing_alg_values_supported", json!(["none", "HS256"]), "unsupported", "RS256"),
            (
                "token_endpoint_auth_methods_supported",
                json!(["private_key_jwt"]),
                "unsupported",
                "client_secret",
            ),
        ] {
            let (found, message) = check(|document| document[field] = value.clone()).unwrap_err();
            assert_eq!(found, code, "{field}: {message}");
            assert!(message.contains(word), "{field}: {message}");
        }
    }
}
