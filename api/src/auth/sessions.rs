//! Checked sessions: whoever shows the cookie, or an access token that names the session.

use std::sync::Arc;
use std::time::Instant;

use domain::{AccountId, ActorId, Clock, OrgId, SessionId};
use http::HeaderValue;
use http::header::SET_COOKIE;
use store::Store;
use store::accounts::sessions::{self, Presented};

use super::cache::{Cache, Memory};
use super::cookies::Cookie;
use super::tokens::Limits;
use crate::config::ApiConfig;
use crate::problem::{Code, Problem};

/// How a session was named.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Named {
    /// By the SHA-256 of the cookie's token.
    Token([u8; 32]),
    /// By the id in an access token.
    Id(SessionId),
}

pub(crate) struct Sessions {
    shared: Arc<Shared>,
    limits: Limits,
    ended: HeaderValue,
}

struct Shared {
    store: Store,
    now: Arc<dyn Clock>,
    cache: Cache<Named, Presented>,
}

impl Sessions {
    pub(crate) fn new(store: Store, now: Arc<dyn Clock>, config: &ApiConfig) -> Self {
        let cache = Cache::new(config.token_cache);
        Self {
            shared: Arc::new(Shared { store, now, cache }),
            limits: Limits::new(config),
            ended: Cookie::Session.removed(config),
        }
    }

    /// The living session of that name.
    pub(super) async fn admit(&self, named: Named) -> Result<Arc<Presented>, Problem> {
        let session = match self.shared.cache.recall(&named) {
            Memory::Fresh { value, renew } => {
                if renew {
                    self.shared.renew(named);
                }
                Some(value)
            }
            Memory::Stale => self.shared.look_up(named).await?,
            Memory::Unknown => None,
            Memory::Strange => {
                // An id comes out of a token that we signed: nobody guesses those.
                if matches!(named, Named::Token(_)) {
                    self.limits.check_look_up()?;
                }
                self.shared.look_up(named).await?
            }
        };
        let session = self.living(session, named)?;
        self.limits.check(session.session_id.0)?;
        Ok(session)
    }

    /// A session that was admitted, or begun here, as it is now. Takes nothing from its rate, nor from the
    /// look-ups of strangers: a flood of made-up cookies keeps nobody from signing in.
    pub(super) async fn still(&self, named: Named) -> Result<Arc<Presented>, Problem> {
        let session = match self.shared.cache.recall(&named) {
            Memory::Fresh { value, renew } => {
                if renew {
                    self.shared.renew(named);
                }
                Some(value)
            }
            Memory::Stale | Memory::Unknown | Memory::Strange => self.shared.look_up(named).await?,
        };
        self.living(session, named)
    }

    fn living(&self, session: Option<Arc<Presented>>, named: Named) -> Result<Arc<Presented>, Problem> {
        session.filter(|session| session.lives(self.shared.now.now())).ok_or_else(|| self.over(named))
    }

    /// The same answer whether it never was, has expired, was ended, or its person may act no longer.
    fn over(&self, named: Named) -> Problem {
        let problem = Problem::new(Code::SessionEnded, "the session is over; sign in again");
        match named {
            Named::Token(_) => problem.with_header(SET_COOKIE, self.ended.clone()),
            Named::Id(_) => problem,
        }
    }

    /// Forgets sessions that were ended or changed here, so that this process feels it at once.
    pub(crate) fn forget(&self, ids: &[SessionId]) {
        self.shared.cache.forget(|session| ids.contains(&session.session_id));
    }

    /// Forgets what is known of a member whose role, rooms or standing changed here.
    pub(crate) fn forget_member(&self, org: OrgId, member: ActorId) {
        self.shared.cache.forget(|session| session.actor.org_id == org && session.actor.actor_id == member);
    }

    /// Forgets what is known of an account's sessions.
    pub(crate) fn forget_account(&self, account: AccountId) {
        self.shared.cache.forget(|session| session.account_id == account);
    }
}

impl Shared {
    fn renew(self: &Arc<Self>, named: Named) {
        let shared = self.clone();
        tokio::spawn(async move {
            if let Err(error) = shared.look_up(named).await {
                tracing::debug!(?error, "a session could not be checked again yet");
            }
        });
    }

    async fn look_up(self: &Arc<Self>, named: Named) -> Result<Option<Arc<Presented>>, Problem> {
        let checked = Instant::now();
        let (hash, id) = match named {
            Named::Token(hash) => (Some(hash), None),
            Named::Id(id) => (None, Some(id)),
        };
        let session = sessions::look_up(&self.store, hash.as_ref(), id).await?;
        if let Some(session) = &session
            && session.lives(self.now.now())
        {
            self.touch(named, session);
        }
        Ok(self.cache.keep(named, session, checked))
    }

    /// Notes the use of a session, beside the request.
    fn touch(self: &Arc<Self>, named: Named, session: &Presented) {
        if !self.cache.touch_due(named) {
            return;
        }
        let (store, account, id, now) =
            (self.store.clone(), session.account_id, session.session_id, self.now.now());
        tokio::spawn(async move {
            if let Err(error) = sessions::touch(&store, account, id, now).await {
                tracing::debug!(%error, "the use of a session was not noted");
            }
        });
    }
}
