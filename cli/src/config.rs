//! Every setting of the binary, read from the environment in this one place. What contradicts itself is
//! refused at start with a sentence that says what to set.
//!
//! The API's own settings (`COUNTERSIGN_LISTEN`, rates, timeouts) are read by [`api::ApiConfig`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use api::ApiConfig;
use providers::oidc::OidcConfig;
use providers::smtp::SmtpConfig;
use providers::webhook::Exception;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use telemetry::LogFormat;
use url::Url;
use vault::KeyConfig;

use crate::dev::home::{Home, RunningHere};
use crate::when;

/// What an identity provider is set up by.
const OIDC: [&str; 4] = [
    "COUNTERSIGN_OIDC_ISSUER",
    "COUNTERSIGN_OIDC_CLIENT_ID",
    "COUNTERSIGN_OIDC_CLIENT_SECRET",
    "COUNTERSIGN_OIDC_SCOPES",
];

/// The role the API acts as when it shares the owner's login.
const APP_ROLE: &str = "countersign_app";
/// The role the engine acts as when it shares the owner's login.
const ENGINE_ROLE: &str = "countersign_engine";
/// The role a worker opens credentials as when it shares the owner's login.
const VAULT_ROLE: &str = "countersign_vault";

/// Settings of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// `DATABASE_URL`: the login that owns the tables; it migrates, and acts as the two roles where they
    /// have no login of their own.
    pub(crate) database_url: Option<SecretString>,
    /// `COUNTERSIGN_APP_DATABASE_URL`: a login for tenant data; default: `DATABASE_URL` and `SET ROLE
    /// countersign_app`.
    pub(crate) app_database_url: Option<SecretString>,
    /// `COUNTERSIGN_ENGINE_DATABASE_URL`: a login for the queue; default: `DATABASE_URL` and `SET ROLE
    /// countersign_engine`.
    pub(crate) engine_database_url: Option<SecretString>,
    /// `COUNTERSIGN_VAULT_DATABASE_URL`: a login for opening credentials, for workers and `keys` only; default:
    /// `DATABASE_URL` and `SET ROLE countersign_vault`.
    pub(crate) vault_database_url: Option<SecretString>,
    /// `REDIS_URL`.
    pub(crate) redis_url: Option<SecretString>,
    /// `COUNTERSIGN_NAMESPACE`: prefix of every key in Redis, default `countersign`.
    pub(crate) namespace: Option<String>,
    /// `COUNTERSIGN_METRICS_LISTEN`: where worker and scheduler serve /metrics, /healthz and /readyz.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// `COUNTERSIGN_LOG_FORMAT`: `text` (default) or `json`.
    pub(crate) log_format: LogFormat,
    /// `COUNTERSIGN_ORG`: the organisation that commands act in when `--org` is not given.
    pub(crate) org: Option<String>,
    /// `COUNTERSIGN_WEBHOOK_ALLOW`: addresses that webhooks may reach although they are not public, such
    /// as `127.0.0.1/32:8099`, separated by commas.
    pub(crate) webhook_allow: Vec<Exception>,
    /// `COUNTERSIGN_WEBHOOK_ALLOW_HTTP`: `true` lets webhooks use plain http to public addresses.
    pub(crate) webhook_http: bool,
    /// `COUNTERSIGN_WEBHOOK_KEYS`: the keys that endpoints' signing secrets are derived from, newest
    /// first, separated by commas.
    pub(crate) webhook_keys: Vec<SecretString>,
    /// `COUNTERSIGN_SMTP_URL`, `COUNTERSIGN_MAIL_FROM`, `COUNTERSIGN_MAIL_REPLY_TO`,
    /// `COUNTERSIGN_SMTP_TIMEOUT_SECONDS`: the mail server, as whom, where answers go, and how long one mail
    /// may take.
    pub(crate) smtp: Option<SmtpConfig>,
    /// `COUNTERSIGN_OIDC_ISSUER`, `COUNTERSIGN_OIDC_CLIENT_ID`, `COUNTERSIGN_OIDC_CLIENT_SECRET`,
    /// `COUNTERSIGN_OIDC_SCOPES`: the identity provider people may sign in with.
    oidc: BTreeMap<&'static str, SecretString>,
    /// `COUNTERSIGN_KEYS_DIR`, or `COUNTERSIGN_AUTH_KEYS`, `COUNTERSIGN_VAULT_PRIVATE_KEYS`,
    /// `COUNTERSIGN_VAULT_PUBLIC_KEYS`, `COUNTERSIGN_AUDIT_KEY`, `COUNTERSIGN_AUDIT_PUBLIC_KEY`: where the
    /// keys are. Each process loads those it uses.
    pub(crate) keys: KeyConfig,
    /// `COUNTERSIGN_DEV_SECONDS`: `dev` stops by itself after this.
    pub(crate) dev_for: Option<Duration>,
    /// `COUNTERSIGN_TEST_DATABASE_URL`: a PostgreSQL for `with-servers` to hand on.
    pub(crate) test_database_url: Option<String>,
    /// `COUNTERSIGN_TEST_REDIS_URL`: a Redis for `with-servers` to hand on.
    pub(crate) test_redis_url: Option<String>,
}

/// A PostgreSQL login and the role to take on after it.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// Address.
    pub(crate) url: SecretString,
    /// Role, when the login is not the role itself.
    pub(crate) role: Option<&'static str>,
}

/// Where the servers are, and how that is known.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    /// The tables' owner, when known.
    pub(crate) owner: Option<SecretString>,
    /// For tenant data.
    pub(crate) app: Login,
    /// For the queue.
    pub(crate) engine: Login,
    /// For opening credentials; none when no login for it is set.
    pub(crate) vault: Option<Login>,
    /// Redis; none when only the database is set.
    pub(crate) redis: Option<SecretString>,
    /// The organisation to act in when none is named.
    pub(crate) org: Option<String>,
}

impl Config {
    /// Reads the process' environment.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let text =
            |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let database = |name: &str| text(name).map(|url| checked_postgres(name, url)).transpose();
        let config = Self {
            database_url: database("DATABASE_URL")?,
            app_database_url: database("COUNTERSIGN_APP_DATABASE_URL")?,
            engine_database_url: database("COUNTERSIGN_ENGINE_DATABASE_URL")?,
            vault_database_url: database("COUNTERSIGN_VAULT_DATABASE_URL")?,
            redis_url: text("REDIS_URL").map(checked_redis).transpose()?,
            namespace: text("COUNTERSIGN_NAMESPACE").map(checked_namespace).transpose()?,
            metrics_listen: text("COUNTERSIGN_METRICS_LISTEN")
                .map(|value| {
                    value.parse().with_context(|| {
                        format!("COUNTERSIGN_METRICS_LISTEN={value} is no address; write 127.0.0.1:9100 or the like")
                    })
                })
                .transpose()?,
            log_format: text("COUNTERSIGN_LOG_FORMAT")
                .map(|value| value.parse().context("COUNTERSIGN_LOG_FORMAT can't be used"))
                .transpose()?
                .unwrap_or_default(),
            org: text("COUNTERSIGN_ORG"),
            webhook_allow: items(text("COUNTERSIGN_WEBHOOK_ALLOW").as_deref())
                .map(|item| item.parse().context("COUNTERSIGN_WEBHOOK_ALLOW can't be used"))
                .collect::<anyhow::Result<_>>()?,
            webhook_http: match text("COUNTERSIGN_WEBHOOK_ALLOW_HTTP").as_deref() {
                None | Some("false" | "0") => false,
                Some("true" | "1") => true,
                Some(other) => bail!("COUNTERSIGN_WEBHOOK_ALLOW_HTTP={other} can't be used; write true or false"),
            },
            webhook_keys: items(text("COUNTERSIGN_WEBHOOK_KEYS").as_deref()).map(SecretString::from).collect(),
            smtp: SmtpConfig::from(&get).context("mail can't be sent as it is set up")?,
            oidc: OIDC.iter().filter_map(|name| Some((*name, get(name)?.into()))).collect(),
            keys: KeyConfig::from_env(&get)?,
            dev_for: text("COUNTERSIGN_DEV_SECONDS")
                .map(|value| when::length(&value).map_err(anyhow::Error::msg).context("COUNTERSIGN_DEV_SECONDS can't be used"))
                .transpose()?,
            test_database_url: text("COUNTERSIGN_TEST_DATABASE_URL"),
            test_redis_url: text("COUNTERSIGN_TEST_REDIS_URL"),
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses settings that contradict each other.
    fn check(&self) -> anyhow::Result<()> {
        if self.database_url.is_none()
            && self.app_database_url.is_some() != self.engine_database_url.is_some()
        {
            bail!(
                "only one of COUNTERSIGN_APP_DATABASE_URL and COUNTERSIGN_ENGINE_DATABASE_URL is set; \
                 set the other one too, or DATABASE_URL for both"
            );
        }
        if let (Some(app), Some(engine)) = (&self.app_database_url, &self.engine_database_url)
            && login_name(app) == login_name(engine)
        {
            bail!(
                "COUNTERSIGN_APP_DATABASE_URL and COUNTERSIGN_ENGINE_DATABASE_URL log in as the same user, which \
                 would see all organisations' data; give each role its own login, or set DATABASE_URL alone"
            );
        }
        if self.redis_url.is_some() && self.database_url.is_none() && self.app_database_url.is_none() {
            bail!("REDIS_URL is set and DATABASE_URL is not; set both or none, for they belong together");
        }
        Ok(())
    }

    /// Where the servers are: from the environment, else those of a `make up` that runs here.
    pub(crate) fn servers(&self) -> anyhow::Result<Servers> {
        let login = |own: &Option<SecretString>, role| match (own, &self.database_url) {
            (Some(url), _) => Some(Login { url: url.clone(), role: None }),
            (None, Some(url)) => Some(Login { url: url.clone(), role: Some(role) }),
            (None, None) => None,
        };
        let app = login(&self.app_database_url, APP_ROLE);
        let engine = login(&self.engine_database_url, ENGINE_ROLE);
        let vault = login(&self.vault_database_url, VAULT_ROLE);
        if let (Some(app), Some(engine)) = (app, engine) {
            return Ok(Servers {
                owner: self.database_url.clone(),
                app,
                engine,
                vault,
                redis: self.redis_url.clone(),
                org: self.org.clone(),
            });
        }
        match Home::running_here()? {
            Some(running) => Ok(self.of_running(running)),
            None => bail!(
                "DATABASE_URL and REDIS_URL are not set and no `make up` runs in this folder or above it; set them \
                 (postgres://user:password@host:5432/database, redis://host:6379), or start `make up`"
            ),
        }
    }

    fn of_running(&self, running: RunningHere) -> Servers {
        let url = SecretString::from(running.database_url);
        Servers {
            app: Login { url: url.clone(), role: Some(APP_ROLE) },
            engine: Login { url: url.clone(), role: Some(ENGINE_ROLE) },
            vault: Some(Login { url: url.clone(), role: Some(VAULT_ROLE) }),
            owner: Some(url),
            redis: Some(running.redis_url.into()),
            org: self.org.clone().or(Some(running.org)),
        }
    }

    /// The identity provider, for workers: they alone need its secret.
    pub(crate) fn identity_provider(&self) -> anyhow::Result<Option<OidcConfig>> {
        OidcConfig::from(|name| self.oidc.get(name).map(|value| value.expose_secret().to_owned()))
            .context("the identity provider can't be used as it is set up")
    }

    /// The same, with the keys of a `make up` that runs here where the environment names none.
    pub(crate) fn with_keys_of_running(mut self) -> anyhow::Result<Self> {
        if !self.keys.is_set()
            && let Some(dir) = Home::running_here()?.and_then(|running| running.keys_dir)
        {
            self.keys = KeyConfig::from_dir(Path::new(&dir));
        }
        Ok(self)
    }

    /// Refuses a folder of keys that is not there: a process that serves would go on without any key.
    pub(crate) fn keys_dir_must_be_there() -> anyhow::Result<()> {
        match std::env::var_os("COUNTERSIGN_KEYS_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) if !Path::new(&dir).is_dir() => bail!(
                "COUNTERSIGN_KEYS_DIR={} is no folder; make it with `countersign keys init`, or set it to the folder \
                 that was made",
                dir.display()
            ),
            _ => Ok(()),
        }
    }

    /// Where links lead: as the API is set up, else to the API of a `make up` that runs here.
    pub(crate) fn public_url(&self) -> anyhow::Result<Url> {
        let named = std::env::var_os("COUNTERSIGN_PUBLIC_URL").is_some_and(|url| !url.is_empty());
        if !named
            && self.database_url.is_none()
            && self.app_database_url.is_none()
            && let Some(running) = Home::running_here()?
        {
            return running.api.parse().context("the address of the `make up` that runs here can't be read");
        }
        Ok(ApiConfig::from_env()?.public_url)
    }

    /// Prefix of every key in Redis.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("countersign")
    }
}

impl Servers {
    /// The owner's login, for what only the tables' owner may do.
    pub(crate) fn owner(&self) -> anyhow::Result<&SecretString> {
        self.owner.as_ref().context("DATABASE_URL is not set; set it to the login that owns the tables")
    }

    /// Redis, for what dispatches jobs.
    pub(crate) fn redis(&self) -> anyhow::Result<&SecretString> {
        self.redis.as_ref().context("REDIS_URL is not set; set it to something like redis://host:6379")
    }
}

fn items(list: Option<&str>) -> impl Iterator<Item = String> {
    let items: Vec<String> = list
        .into_iter()
        .flat_map(|list| list.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect();
    items.into_iter()
}

/// The address itself never appears in the sentence: it may hold a password.
fn checked_postgres(name: &str, url: String) -> anyhow::Result<SecretString> {
    let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !known || PgConnectOptions::from_str(&url).is_err() {
        bail!("{name} is no PostgreSQL address; write postgres://user:password@host:5432/database");
    }
    Ok(url.into())
}

fn checked_redis(url: String) -> anyhow::Result<SecretString> {
    if redis::Client::open(url.as_str()).is_err() {
        bail!(
            "REDIS_URL is no Redis address; write redis://host:6379, rediss://… for TLS, or redis+unix:///path"
        );
    }
    Ok(url.into())
}

fn checked_namespace(name: String) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.len() > 40 || !name.chars().all(plain) {
        bail!(
            "COUNTERSIGN_NAMESPACE={name} can't be used; write up to 40 of a-z, 0-9, hyphen and underscore"
        );
    }
    Ok(name)
}

fn login_name(url: &SecretString) -> Option<String> {
    PgConnectOptions::from_str(url.expose_secret()).ok().map(|options| options.get_username().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::from(|name| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn one_login_takes_on_both_roles() {
        let config = of(&[("DATABASE_URL", "postgres://o:p@h/d"), ("REDIS_URL", "redis://h")]).unwrap();
        let servers = config.servers().unwrap();
        assert_eq!((servers.app.role, servers.engine.role), (Some(APP_ROLE), Some(ENGINE_ROLE)));
        let config = of(&[
            ("COUNTERSIGN_APP_DATABASE_URL", "postgres://a:p@h/d"),
            ("COUNTERSIGN_ENGINE_DATABASE_URL", "postgres://e:p@h/d"),
        ]);
        let servers = config.unwrap().servers().unwrap();
        assert!(servers.app.role.is_none() && servers.owner().is_err() && servers.redis().is_err());
    }

    #[test]
    fn what_can_not_be_meant_is_refused_without_telling_secrets() {
        for (settings, says) in [
            (vec![("DATABASE_URL", "mysql://u:hunter2@h/d")], "DATABASE_URL is no PostgreSQL address"),
            (
                vec![("DATABASE_URL", "postgres://u:hunter2@h:port/d")],
                "DATABASE_URL is no PostgreSQL address",
            ),
            (
                vec![("DATABASE_URL", "postgres://h/d"), ("REDIS_URL", "http://:hunter2@h")],
                "REDIS_URL is no Redis",
            ),
            (vec![("REDIS_URL", "redis://h")], "set both or none"),
            (vec![("COUNTERSIGN_APP_DATABASE_URL", "postgres://a@h/d")], "set the other one too"),
            (
                vec![
                    ("COUNTERSIGN_APP_DATABASE_URL", "postgres://a@h/d"),
                    ("COUNTERSIGN_ENGINE_DATABASE_URL", "postgres://a@h/d"),
                ],
                "same user",
            ),
            (vec![("COUNTERSIGN_NAMESPACE", "a:b")], "COUNTERSIGN_NAMESPACE"),
            (vec![("COUNTERSIGN_METRICS_LISTEN", "9100")], "COUNTERSIGN_METRICS_LISTEN"),
            (vec![("COUNTERSIGN_LOG_FORMAT", "xml")], "COUNTERSIGN_LOG_FORMAT"),
            (vec![("COUNTERSIGN_WEBHOOK_ALLOW", "127.0.0.1/32:8099,nonsense")], "COUNTERSIGN_WEBHOOK_ALLOW"),
        ] {
            let error = format!("{:#}", of(&settings).unwrap_err());
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn lists_are_split_at_commas() {
        let config = of(&[
            ("COUNTERSIGN_WEBHOOK_ALLOW", "127.0.0.1/32:8099, ::1/128"),
            ("COUNTERSIGN_WEBHOOK_KEYS", "a,b,"),
        ]);
        let config = config.unwrap();
        assert_eq!((config.webhook_allow.len(), config.webhook_keys.len()), (2, 2));
    }
}
