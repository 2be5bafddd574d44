//! What an operator may set about sign-in through an identity provider.

use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

const ISSUER: &str = "COUNTERSIGN_OIDC_ISSUER";
const CLIENT_ID: &str = "COUNTERSIGN_OIDC_CLIENT_ID";
const CLIENT_SECRET: &str = "COUNTERSIGN_OIDC_CLIENT_SECRET";
const SCOPES: &str = "COUNTERSIGN_OIDC_SCOPES";
const DEFAULT_SCOPES: &str = "openid email profile";

/// How long one exchange with the provider may take unless set otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Settings of an [`OidcClient`](super::OidcClient).
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// `COUNTERSIGN_OIDC_ISSUER`: the provider's issuer, letter by letter as it announces itself.
    pub issuer: String,
    /// `COUNTERSIGN_OIDC_CLIENT_ID`: our name there.
    pub client_id: String,
    /// `COUNTERSIGN_OIDC_CLIENT_SECRET`: our secret there.
    pub client_secret: SecretString,
    /// `COUNTERSIGN_OIDC_SCOPES`: what is asked for, parted by spaces; has `openid` in it.
    pub scopes: String,
    /// Upper bound of each exchange with the provider, connection and body included.
    pub time_limit: Duration,
}

/// Settings that can't work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Some of the settings are there and this one is not.
    #[error(
        "{missing} is not set although {present} is; sign-in through an identity provider needs {ISSUER}, \
         {CLIENT_ID} and {CLIENT_SECRET} together: set it, or unset the others"
    )]
    Missing {
        /// The setting that is needed.
        missing: &'static str,
        /// One that is set.
        present: &'static str,
    },
    /// The issuer is not an address this client may speak with.
    #[error("{ISSUER} {0}")]
    Issuer(&'static str),
    /// The scopes leave out what makes it OpenID Connect, or are not scopes.
    #[error(
        "{SCOPES} must be scope names parted by spaces, with openid among them; the default is \"{DEFAULT_SCOPES}\""
    )]
    Scopes,
    /// The HTTP client could not be built, most often for want of system certificates.
    #[error(
        "the client for the identity provider can't be built; check that the system's CA certificates are installed"
    )]
    Client(#[source] reqwest::Error),
}

impl OidcConfig {
    /// Reads the settings; `None` when there are none at all. `get` answers by environment name; an empty
    /// value counts as unset.
    ///
    /// # Errors
    /// [`ConfigError`]: contradictions and addresses that are not acceptable.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let get =
            |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let values = [ISSUER, CLIENT_ID, CLIENT_SECRET, SCOPES].map(|name| (name, get(name)));
        let Some(present) = values.iter().find(|(_, value)| value.is_some()).map(|(name, _)| *name) else {
            return Ok(None);
        };
        let [issuer, client_id, client_secret, scopes] = values;
        let need = |(missing, value): (&'static str, Option<String>)| {
            value.ok_or(ConfigError::Missing { missing, present })
        };
        let config = Self {
            issuer: need(issuer)?,
            client_id: need(client_id)?,
            client_secret: need(client_secret)?.into(),
            scopes: scopes.1.unwrap_or_else(|| DEFAULT_SCOPES.to_owned()),
            time_limit: TIME_LIMIT,
        };
        config.check()?;
        Ok(Some(config))
    }

    /// Refuses what can't work; the client asks again when it is built.
    pub(super) fn check(&self) -> Result<Url, ConfigError> {
        let issuer = check_address(&self.issuer, true).map_err(ConfigError::Issuer)?;
        if issuer.query().is_some() {
            return Err(ConfigError::Issuer("may not have a query"));
        }
        let scopes: Vec<&str> = self.scopes.split_ascii_whitespace().collect();
        let plain =
            |scope: &&str| scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if !scopes.contains(&"openid") || !scopes.iter().all(plain) {
            return Err(ConfigError::Scopes);
        }
        Ok(issuer)
    }
}

/// An address this client may speak with: https, or plain http to this machine where that is allowed.
/// The error continues a sentence that begins with the address' name.
pub(super) fn check_address(text: &str, plain_loopback: bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL; give one like https://login.example.com")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("may not carry a user name, a password or a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if plain_loopback && is_loopback(&url) => Ok(url),
        "http" => Err("must use https; plain http is only for a provider on this machine"),
        _ => Err("must be an https URL"),
    }
}

/// Whether the URL's host is this machine by its very name.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Option<OidcConfig>, String> {
        OidcConfig::from(|name| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
        .map_err(|error| error.to_string())
    }

    const FULL: [(&str, &str); 3] =
        [(ISSUER, "https://login.example.com"), (CLIENT_ID, "countersign"), (CLIENT_SECRET, "planted")];

    #[test]
    fn nothing_set_means_no_provider_and_all_set_means_one() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[(ISSUER, "  ")]).unwrap().is_none());
        let config = read(&FULL).unwrap().unwrap();
        assert_eq!(config.scopes, "openid email profile");
        assert_eq!(config.time_limit, Duration::from_secs(10));
        assert!(!format!("{config:?}").contains("planted"));
    }

    #[test]
    fn half_a_configuration_names_what_is_missing() {
        for missing in 0..3 {
            let mut values = FULL.to_vec();
            let (name, _) = values.remove(missing);
            let said = read(&values).unwrap_err();
            assert!(said.starts_with(&format!("{name} is not set although")), "{said}");
        }
        let said = read(&[(SCOPES, "openid")]).unwrap_err();
        assert!(said.contains(ISSUER) && said.contains(SCOPES), "{said}");
    }

    #[test]
    fn issuers_must_be_https_or_on_this_machine() {
        let with = |issuer| read(&[(ISSUER, issuer), FULL[1], FULL[2]]);
        for good in [
            "https://login.example.com/realms/a",
            "http://127.0.0.1:9000",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert!(with(good).unwrap().is_some(), "{good}");
        }
        for (bad, why) in [
            ("http://login.example.com", "must use https"),
            ("http://127.0.0.1.example.com", "must use https"),
            ("ftp://login.example.com", "https"),
            ("login.example.com", "not a URL"),
            ("https://user:planted@login.example.com", "user name"),
            ("https://login.example.com/#x", "fragment"),
            ("https://login.example.com/?x=1", "query"),
        ] {
            let said = with(bad).unwrap_err();
            assert!(
                said.starts_with(ISSUER) && said.contains(why) && !said.contains("planted"),
                "{bad}: {said}"
            );
        }
    }

    #[test]
    fn scopes_need_openid() {
        let with = |scopes| read(&[FULL[0], FULL[1], FULL[2], (SCOPES, scopes)]);
        assert_eq!(with("openid  groups").unwrap().unwrap().scopes, "openid  groups");
        assert!(with("email profile").is_err());
        assert!(with("openid \"x\"").is_err());
    }
}
