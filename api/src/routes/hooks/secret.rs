//! An endpoint's secret: given or made, checked, sealed.

use domain::HookEndpointId;
use jobs::hooks::signature::{Scheme, providers, scheme};
use secrecy::{ExposeSecret, SecretString};
use store::hooks::{SEAL_PURPOSE, seal_context};
use vault::AuthKeys;

use crate::problem::{Code, Problem};
use crate::state::Api;

/// The scheme of a provider.
pub(super) fn scheme_of(provider: &str) -> Result<&'static dyn Scheme, Problem> {
    scheme(provider).ok_or_else(|| Problem::field("/provider", format!("must be one of {}", providers())))
}

/// The secret to use, and whether it was made here, to be shown once.
pub(super) fn chosen(
    scheme: &dyn Scheme,
    given: Option<SecretString>,
) -> Result<(SecretString, bool), Problem> {
    match given {
        Some(secret) => {
            scheme.check_secret(&secret).map_err(|expected| Problem::field("/secret", expected))?;
            Ok((secret, false))
        }
        None => match scheme.make_secret() {
            Some(secret) => Ok((secret, true)),
            None => Err(Problem::field("/secret", format!("must be given: {}", scheme.summary()))),
        },
    }
}

/// The keys of endpoints' secrets.
pub(super) fn keys(api: &Api) -> Result<&AuthKeys, Problem> {
    api.auth_keys().map_err(|_| {
        Problem::new(
            Code::KeysMissing,
            "this process has no keys for webhook secrets; run countersign keys init, set COUNTERSIGN_KEYS_DIR and restart it",
        )
    })
}

/// Seals a secret for its endpoint.
pub(super) fn seal(api: &Api, endpoint: HookEndpointId, secret: &SecretString) -> Result<Vec<u8>, Problem> {
    keys(api)?
        .seal(SEAL_PURPOSE, secret.expose_secret().as_bytes(), &seal_context(endpoint))
        .map_err(Problem::internal)
}

/// Opens an endpoint's secrets.
pub(super) fn open(
    api: &Api,
    endpoint: HookEndpointId,
    sealed: &[Vec<u8>],
) -> Result<Vec<SecretString>, Problem> {
    let keys = keys(api)?;
    let context = seal_context(endpoint);
    sealed
        .iter()
        .map(|sealed| {
            let bytes = keys.open(SEAL_PURPOSE, sealed, &context).map_err(Problem::internal)?;
            let text = std::str::from_utf8(bytes.expose_secret()).map_err(Problem::internal)?;
            Ok(SecretString::from(text))
        })
        .collect()
}

/// A URL that webhooks may be sent on to; where it may lead is judged when it is connected to.
pub(super) fn check_forward(url: Option<&str>) -> Result<(), Problem> {
    let fits = |text: &str| {
        text.len() <= 2048
            && text.parse::<url::Url>().is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            })
    };
    match url {
        Some(text) if !fits(text) => Err(Problem::field(
            "/forward_url",
            "must be a full URL such as https://example.com/path, without user name, password and fragment",
        )),
        _ => Ok(()),
    }
}
