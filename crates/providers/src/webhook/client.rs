//! One attempt over HTTP: check, sign, post, read a bounded answer.
//!
//! It never follows a redirect, never uses a proxy, never asks for compression
//! (an answer must not grow while it is read) and never retries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use tokio::time::{Instant, timeout_at};

use super::address::{AddressGuard, PortGuard};
use super::config::{ConfigError, WebhookConfig};
use super::delivery::{Delivery, MAX_BODY_BYTES, Outcome, storable_text};
use super::error::DeliverError;
use super::resolver::{GuardedResolver, Lookup, SystemLookup};
use super::retry_after::parse_retry_after;
use super::signature::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, sign};
use super::url_rules::{BadUrl, Target, check_url};

const USER_AGENT: &str = "Countersign-Webhooks/1";
const HEADER_EVENT_TYPE: HeaderName = HeaderName::from_static("countersign-event-type");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const KEPT_HEADERS: [&str; 6] =
    ["content-type", "content-length", "date", "retry-after", "server", "x-request-id"];
const MAX_HEADER_CHARS: usize = 256;
const MAX_EVENT_TYPE_BYTES: usize = 128;

/// Delivers webhooks. Cheap to clone; keep one for the process, since it holds
/// the connection pool.
#[derive(Clone)]
pub struct WebhookClient {
    inner: Arc<Inner>,
}

struct Inner {
    ports: Option<Vec<u16>>,
    connect_timeout: Duration,
    named: Vec<(u16, Route)>,
    other: Route,
}

/// How to reach one port. A resolver is not told the port, so each set of
/// exceptions that depends on one has a client of its own. Pools are kept by
/// host and port anyway: nothing is shared less than in a single client.
struct Route {
    https: Channel,
    /// `None` when plain http can reach nothing.
    http: Option<Channel>,
}

#[derive(Clone)]
struct Channel {
    guard: PortGuard,
    client: reqwest::Client,
}

impl std::fmt::Debug for WebhookClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookClient").field("ports", &self.inner.ports).finish_non_exhaustive()
    }
}

impl WebhookClient {
    /// A client that asks the operating system for addresses.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that cannot work.
    pub fn new(config: WebhookConfig) -> Result<Self, ConfigError> {
        Self::with_lookup(config, SystemLookup)
    }

    /// A client with another source of addresses. Its answers pass the guard too.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that cannot work.
    pub fn with_lookup(config: WebhookConfig, lookup: impl Lookup + 'static) -> Result<Self, ConfigError> {
        let lookup: Arc<dyn Lookup> = Arc::new(lookup);
        let roots = extra_roots(&config)?;
        let guard = AddressGuard::new(config.allow.clone());
        let route = |guard: PortGuard| -> Result<Route, ConfigError> {
            let https = Channel::open(&config, &roots, &lookup, guard)?;
            let strict = https.guard.exceptions_only();
            let http = if config.allow_http {
                Some(https.clone())
            } else if strict.is_closed() {
                None
            } else {
                Some(Channel::open(&config, &roots, &lookup, strict)?)
            };
            Ok(Route { https, http })
        };
        let named = guard
            .named_ports()
            .into_iter()
            .map(|port| Ok((port, route(guard.for_port(port))?)))
            .collect::<Result<Vec<_>, ConfigError>>()?;
        let other = route(guard.for_other_ports())?;
        let inner = Inner { named, other, connect_timeout: config.connect_timeout, ports: config.ports };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Judges a URL as far as that works without the network: its form, its
    /// port, its scheme, and its address if the host is one. For the moment an
    /// endpoint is saved; [`deliver`](Self::deliver) checks again.
    ///
    /// # Errors
    /// [`DeliverError::BadUrl`] or [`DeliverError::RefusedAddress`].
    pub fn check(&self, url: &str) -> Result<(), DeliverError> {
        self.admit(url).map(drop)
    }

    fn admit(&self, url: &str) -> Result<(Target, &reqwest::Client), DeliverError> {
        let inner = &*self.inner;
        let target = check_url(url, inner.ports.as_deref())?;
        let route = inner
            .named
            .iter()
            .find(|(port, _)| *port == target.port)
            .map_or(&inner.other, |(_, route)| route);
        let channel =
            if target.https { &route.https } else { route.http.as_ref().ok_or(BadUrl::PlainHttp)? };
        if let Some(address) = target.literal {
            channel.guard.check(address)?;
        }
        Ok((target, &channel.client))
    }

    /// Makes one attempt. The status decides: once the answer's head is in, a
    /// body that breaks off or runs out of time only marks it as truncated.
    ///
    /// # Errors
    /// [`DeliverError`]; its variants say whether the event may have arrived.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliverError> {
        let started = Instant::now();
        let deadline = started + delivery.timeout;
        let (target, client) = self.admit(&delivery.url)?;
        let headers = request_headers(&delivery)?;
        let (timeout, attempted_at) = (delivery.timeout, delivery.timestamp);

        let request = client.post(target.url).headers(headers).body(delivery.body);
        let mut response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| DeliverError::Timeout { after: timeout })?
            .map_err(|error| DeliverError::from_client(error, self.inner.connect_timeout))?;

        let status = response.status().as_u16();
        if response.status().is_redirection() {
            let location = header_text(response.headers(), LOCATION.as_str());
            return Err(DeliverError::Redirect { status, location });
        }
        let headers: BTreeMap<String, String> = KEPT_HEADERS
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), header_text(response.headers(), name)?)))
            .collect();
        let peer = response.remote_addr();
        let (body, body_truncated) = read_capped(&mut response, deadline).await;
        let duration = started.elapsed();
        let now = attempted_at + TimeDelta::from_std(duration).unwrap_or_default();
        let retry_after = headers.get(RETRY_AFTER.as_str()).and_then(|value| parse_retry_after(value, now));
        tracing::debug!(
            event_id = delivery.event_id,
            status,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "webhook answered"
        );
        Ok(Outcome {
            status,
            headers,
            retry_after,
            body: storable_text(&body),
            body_truncated,
            duration,
            peer,
        })
    }
}

impl Channel {
    fn open(
        config: &WebhookConfig,
        roots: &[reqwest::Certificate],
        lookup: &Arc<dyn Lookup>,
        guard: PortGuard,
    ) -> Result<Self, ConfigError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .dns_resolver(GuardedResolver::new(Arc::clone(lookup), guard.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            // Another crate of the build may switch these on for everybody.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.idle_per_host)
            .tcp_nodelay(true);
        if !roots.is_empty() {
            builder = builder.tls_certs_merge(roots.iter().cloned());
        }
        Ok(Self { guard, client: builder.build().map_err(ConfigError::Client)? })
    }
}

fn extra_roots(config: &WebhookConfig) -> Result<Vec<reqwest::Certificate>, ConfigError> {
    if config.extra_roots_pem.is_empty() {
        return Ok(Vec::new());
    }
    let roots = reqwest::Certificate::from_pem_bundle(&config.extra_roots_pem).map_err(ConfigError::Roots)?;
    if roots.is_empty() { Err(ConfigError::NoRoots) } else { Ok(roots) }
}

fn request_headers(delivery: &Delivery) -> Result<HeaderMap, DeliverError> {
    let event_type = &delivery.event_type;
    let fits = (1..=MAX_EVENT_TYPE_BYTES).contains(&event_type.len())
        && event_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if !fits {
        return Err(DeliverError::EventType);
    }
    let signed = sign(&delivery.secrets, &delivery.event_id, delivery.timestamp.timestamp(), &delivery.body)?;
    // Every value below is plain ASCII by construction; the errors only keep
    // that from becoming a panic.
    let value = |text: &str| HeaderValue::from_str(text);
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(HEADER_EVENT_TYPE, value(event_type).map_err(|_| DeliverError::EventType)?);
    let event_id = |_| DeliverError::from(super::signature::SignatureError::EventId);
    headers.insert(HEADER_ID, value(&signed.id).map_err(event_id)?);
    headers.insert(HEADER_TIMESTAMP, value(&signed.timestamp).map_err(event_id)?);
    headers.insert(HEADER_SIGNATURE, value(&signed.signature).map_err(event_id)?);
    Ok(headers)
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.chars().take(MAX_HEADER_CHARS).collect())
}

/// Reads up to the cap, whatever the stated length, and says whether that was
/// less than all.
async fn read_capped(response: &mut reqwest::Response, deadline: Instant) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = MAX_BODY_BYTES - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return (body, true);
                }
            }
            Ok(Ok(None)) => return (body, false),
            Ok(Err(_)) | Err(_) => return (body, true),
        }
    }
}
