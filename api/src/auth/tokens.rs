//! Checked tokens, remembered for a few seconds, so that thousands of requests a second do not each ask
//! PostgreSQL; and the local rate limit of each token.
//!
//! The price: a revoked token works until its entry is that old, on each process.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::{Clock, TokenId};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{HeaderValue, header};
use store::{Actor, Store, tokens};
use uuid::Uuid;

use crate::config::ApiConfig;
use crate::problem::{Code, Problem};

/// Most tokens remembered; beyond it the memory starts afresh.
const MOST: usize = 10_000;

/// Strange tokens looked up in PostgreSQL a second: guessing must not become its load. Tokens that were
/// good a moment ago don't count, so guessing does not lock them out either.
const LOOK_UPS_PER_S: NonZeroU32 = NonZeroU32::new(500).unwrap();

/// A use is written down at most this often.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

type Hash = [u8; 32];

pub(crate) struct Tokens {
    shared: Arc<Shared>,
    rates: DefaultKeyedRateLimiter<Uuid>,
    look_ups: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

struct Shared {
    store: Store,
    now: Arc<dyn Clock>,
    known: RwLock<HashMap<Hash, Arc<Known>>>,
    unknown: RwLock<HashMap<Hash, Instant>>,
    touched: RwLock<HashMap<TokenId, Instant>>,
    trust: Duration,
}

/// What PostgreSQL last said of a token.
struct Known {
    token: tokens::Presented,
    checked: Instant,
    renewing: AtomicBool,
}

impl Tokens {
    pub(crate) fn new(store: Store, now: Arc<dyn Clock>, config: &ApiConfig) -> Self {
        let quota = Quota::per_second(config.rate_per_s).allow_burst(config.burst);
        Self {
            shared: Arc::new(Shared {
                store,
                now,
                known: RwLock::default(),
                unknown: RwLock::default(),
                touched: RwLock::default(),
                trust: config.token_cache,
            }),
            rates: RateLimiter::keyed(quota),
            look_ups: RateLimiter::direct(Quota::per_second(LOOK_UPS_PER_S)),
            clock: DefaultClock::default(),
        }
    }

    /// Whoever the token lets in.
    pub(crate) async fn admit(&self, secret: &str) -> Result<Actor, Problem> {
        let Some(hash) = tokens::hash(secret) else {
            return Err(refused("what was sent is no API token; it begins with cst_ and has 47 characters"));
        };
        let known = match self.shared.remembered(&hash) {
            Memory::Fresh(known) => Some(known),
            Memory::Stale => self.shared.look_up(hash).await?,
            Memory::Unknown => None,
            Memory::Strange => {
                if let Err(wait) = self.look_ups.check() {
                    return Err(limited(wait.wait_time_from(self.clock.now())));
                }
                self.shared.look_up(hash).await?
            }
        };
        let Some(known) = known else {
            return Err(refused("there is no such token; make one with countersign token create"));
        };
        let token = &known.token;
        check_times(token, self.shared.now.now())?;
        self.rates
            .check_key(&token.token_id.0)
            .map_err(|wait| limited(wait.wait_time_from(self.clock.now())))?;
        Ok(token.actor.clone())
    }
}

impl Shared {
    /// What is remembered of a token. An answer that is getting old is renewed beside the request, so that
    /// a busy token never waits for PostgreSQL.
    fn remembered(self: &Arc<Self>, hash: &Hash) -> Memory {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        let Some(known) = known else {
            let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
            let refused = unknown.get(hash).is_some_and(|checked| checked.elapsed() < self.trust);
            return if refused { Memory::Unknown } else { Memory::Strange };
        };
        let age = known.checked.elapsed();
        if age >= self.trust {
            return Memory::Stale;
        }
        if age >= self.trust * 3 / 4 && !known.renewing.swap(true, Ordering::Relaxed) {
            let (shared, hash) = (self.clone(), *hash);
            tokio::spawn(async move {
                if let Err(error) = shared.look_up(hash).await {
                    tracing::debug!(?error, "a token could not be checked again yet");
                }
            });
        }
        Memory::Fresh(known)
    }

    async fn look_up(self: &Arc<Self>, hash: Hash) -> Result<Option<Arc<Known>>, Problem> {
        // The age counts from before the question: what happens meanwhile must not be trusted longer.
        let checked = Instant::now();
        let Some(token) = tokens::look_up(&self.store, &hash).await? else {
            self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
            remember(&self.unknown, hash, checked);
            return Ok(None);
        };
        self.touch(&token);
        let known = Arc::new(Known { token, checked, renewing: AtomicBool::new(false) });
        remember(&self.known, hash, known.clone());
        Ok(Some(known))
    }

    /// Notes the use of a token, beside the request.
    fn touch(self: &Arc<Self>, token: &tokens::Presented) {
        let mut touched = self.touched.write().unwrap_or_else(PoisonError::into_inner);
        if touched.get(&token.token_id).is_some_and(|at| at.elapsed() < TOUCH_EVERY) {
            return;
        }
        if touched.len() >= MOST {
            touched.clear();
        }
        touched.insert(token.token_id, Instant::now());
        let (store, org, id) = (self.store.clone(), token.actor.org_id, token.token_id);
        tokio::spawn(async move {
            if let Err(error) = tokens::touch(&store, org, id).await {
                tracing::debug!(%error, "the use of a token was not noted");
            }
        });
    }
}

/// What this process knows of a presented token.
enum Memory {
    /// Checked a moment ago.
    Fresh(Arc<Known>),
    /// Was good when it was last checked, too long ago.
    Stale,
    /// Was no token a moment ago.
    Unknown,
    /// Never seen.
    Strange,
}

fn remember<V>(all: &RwLock<HashMap<Hash, V>>, hash: Hash, value: V) {
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MOST {
        all.clear();
    }
    all.insert(hash, value);
}

fn check_times(token: &tokens::Presented, now: DateTime<Utc>) -> Result<(), Problem> {
    if token.revoked_at.is_some() {
        return Err(refused("the token was revoked; make a new one with countersign token create"));
    }
    if token.expires_at.is_some_and(|at| at <= now) {
        return Err(refused("the token has expired; make a new one with countersign token create"));
    }
    Ok(())
}

pub(super) fn refused(detail: &str) -> Problem {
    Problem::new(Code::TokenRefused, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"countersign\", error=\"invalid_token\""),
    )
}

fn limited(wait: Duration) -> Problem {
    Problem::new(
        Code::RateLimited,
        "this token makes more requests than it may; slow down, or send jobs in batches",
    )
    .retry_after(wait)
}
