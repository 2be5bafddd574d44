//! The API's settings: read from the environment in one place, refused at start when they contradict.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

/// How the API listens and what it allows.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Address to listen on. `COUNTERSIGN_LISTEN`, default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Requests a second one token may make for long. `COUNTERSIGN_API_RATE`, default 20000.
    pub rate_per_s: NonZeroU32,
    /// Requests one token may make at once. `COUNTERSIGN_API_BURST`, default: the rate.
    pub burst: NonZeroU32,
    /// How long a checked token is trusted without asking PostgreSQL again, so also how long a revoked one
    /// may still work. `COUNTERSIGN_TOKEN_CACHE_MS`, default 5000, at most 60000.
    pub token_cache: Duration,
    /// Longest a request body may take to arrive. `COUNTERSIGN_BODY_TIMEOUT_MS`, default 30000.
    pub body_timeout: Duration,
    /// Longest a connection may take to send the head of its next request, so also how long one may rest.
    /// `COUNTERSIGN_HEAD_TIMEOUT_MS`, default 75000: longer than proxies keep resting connections.
    pub head_timeout: Duration,
    /// Event streams open at once in this process; one organisation may hold half of what the others leave.
    /// `COUNTERSIGN_MAX_STREAMS`, default 256.
    pub max_streams: usize,
    /// Where browsers find us; cookies are bound to it. `COUNTERSIGN_PUBLIC_URL`, default `http://` and the
    /// address listened on; https, except on this machine itself.
    pub public_url: Url,
    /// Whether people may sign in through an identity provider, which workers talk to: when
    /// `COUNTERSIGN_OIDC_ISSUER` is set.
    pub oidc: bool,
    /// Networks of the proxies whose X-Forwarded-For is believed. `COUNTERSIGN_TRUSTED_PROXIES`, separated by
    /// commas, default none.
    pub trusted_proxies: Vec<IpNet>,
}

/// Longest a checked token may be trusted.
const TOKEN_CACHE_LIMIT: Duration = Duration::from_secs(60);

impl Default for ApiConfig {
    fn default() -> Self {
        let rate = NonZeroU32::new(20_000).unwrap_or(NonZeroU32::MIN);
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            rate_per_s: rate,
            burst: rate,
            token_cache: Duration::from_secs(5),
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(75),
            max_streams: 256,
            public_url: local_url(8080),
            oidc: false,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The address of this machine as its own browser sees it.
#[allow(clippy::expect_used)]
fn local_url(port: u16) -> Url {
    Url::parse(&format!("http://localhost:{port}")).expect("an address made of fixed words and a number")
}

/// A setting that can't be used, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{name}={value} can't be used: {expected}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl ApiConfig {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from(|name| std::env::var(name).ok())
    }

    /// Reads settings by name from wherever.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let base = Self::default();
        let number = "write a whole number of at least 1";
        let rate_per_s = read(&get, "COUNTERSIGN_API_RATE", number)?.unwrap_or(base.rate_per_s);
        let millis = |name| {
            Ok::<_, ConfigError>(
                read::<NonZeroU32>(&get, name, number)?.map(|ms| Duration::from_millis(ms.get().into())),
            )
        };
        let token_cache = millis("COUNTERSIGN_TOKEN_CACHE_MS")?.unwrap_or(base.token_cache);
        if token_cache > TOKEN_CACHE_LIMIT {
            return Err(ConfigError {
                name: "COUNTERSIGN_TOKEN_CACHE_MS",
                value: token_cache.as_millis().to_string(),
                expected: "write at most 60000, for revoked tokens keep working that long",
            });
        }
        let listen = read(&get, "COUNTERSIGN_LISTEN", "write an address and a port, such as 127.0.0.1:8080")?
            .unwrap_or(base.listen);
        Ok(Self {
            listen,
            rate_per_s,
            burst: read(&get, "COUNTERSIGN_API_BURST", number)?.unwrap_or(rate_per_s),
            token_cache,
            body_timeout: millis("COUNTERSIGN_BODY_TIMEOUT_MS")?.unwrap_or(base.body_timeout),
            head_timeout: millis("COUNTERSIGN_HEAD_TIMEOUT_MS")?.unwrap_or(base.head_timeout),
            max_streams: read(&get, "COUNTERSIGN_MAX_STREAMS", "write a whole number")?
                .unwrap_or(base.max_streams),
            public_url: public_url(&get)?.unwrap_or_else(|| local_url(listen.port())),
            oidc: get("COUNTERSIGN_OIDC_ISSUER").is_some_and(|issuer| !issuer.trim().is_empty()),
            trusted_proxies: trusted_proxies(&get)?,
        })
    }

    /// Whether cookies travel over https only.
    #[must_use]
    pub fn secure_cookies(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

fn public_url(get: impl Fn(&str) -> Option<String>) -> Result<Option<Url>, ConfigError> {
    let name = "COUNTERSIGN_PUBLIC_URL";
    let expected =
        "write https:// and the host that browsers use, without a path (http:// only for localhost)";
    let Some(url) = read::<Url>(&get, name, expected)? else { return Ok(None) };
    let local = match url.host() {
        Some(Host::Domain(host)) => host == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let bare =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare || !(url.scheme() == "https" && url.has_host() || url.scheme() == "http" && local) {
        return Err(ConfigError { name, value: url.to_string(), expected });
    }
    Ok(Some(url))
}

fn trusted_proxies(get: impl Fn(&str) -> Option<String>) -> Result<Vec<IpNet>, ConfigError> {
    let name = "COUNTERSIGN_TRUSTED_PROXIES";
    let value = get(name).unwrap_or_default();
    let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from)))
        .collect::<Result<_, _>>()
        .map_err(|_| ConfigError {
            name,
            value: value.clone(),
            expected: "write addresses or networks such as 10.0.0.0/8, separated by commas",
        })
}

fn read<T: FromStr>(
    get: impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.trim().parse().map(Some).map_err(|_| ConfigError { name, value, expected })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_bad_ones_named() {
        let of = |name: &'static str, value: &'static str| {
            ApiConfig::from(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(of("COUNTERSIGN_LISTEN", "0.0.0.0:9000").unwrap().listen.port(), 9000);
        assert!(of("COUNTERSIGN_PUBLIC_URL", "https://c.example").unwrap().secure_cookies());
        assert!(!of("COUNTERSIGN_PUBLIC_URL", "http://127.0.0.1:8080").unwrap().secure_cookies());
        assert_eq!(of("COUNTERSIGN_TRUSTED_PROXIES", "10.0.0.0/8, ::1").unwrap().trusted_proxies.len(), 2);
        let slow = of("COUNTERSIGN_API_RATE", "10").unwrap();
        assert_eq!((slow.rate_per_s.get(), slow.burst.get()), (10, 10));
        for (name, value) in [
            ("COUNTERSIGN_LISTEN", "8080"),
            ("COUNTERSIGN_API_RATE", "0"),
            ("COUNTERSIGN_TOKEN_CACHE_MS", "60001"),
            ("COUNTERSIGN_PUBLIC_URL", "http://countersign.example"),
            ("COUNTERSIGN_PUBLIC_URL", "https://countersign.example/app"),
            ("COUNTERSIGN_PUBLIC_URL", "countersign.example"),
            ("COUNTERSIGN_TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        ] {
            let error = of(name, value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
