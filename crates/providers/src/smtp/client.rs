//! The process' one mail client: a few connections, each used for one mail at a time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::mail::{Mail, MailFault, MailReceipt};
use lettre::message::Mailbox;
use lettre::transport::smtp::client::TlsParameters;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::config::{SmtpConfig, SmtpConfigError};
use super::connection::{Connection, tls_parameters};
use super::fault::{Step, timed_out};
use super::message::{Outgoing, build, mailbox};

/// Connections at a time; many servers allow one client ten.
const MAX_CONNECTIONS: usize = 8;

/// Servers close after five minutes at the earliest; there is no gain in staying that long.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// Sends mail. Cheap to clone; keep one for the process, since it holds the connections.
#[derive(Clone)]
pub struct SmtpClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: SmtpConfig,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    tls: Option<TlsParameters>,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl fmt::Debug for SmtpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpClient").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl SmtpClient {
    /// A client for one server; connects when there is something to send.
    ///
    /// # Errors
    /// [`SmtpConfigError`] for a sender or certificates that cannot be used.
    pub fn new(config: SmtpConfig) -> Result<Self, SmtpConfigError> {
        let from = mailbox(&config.from).map_err(|_| SmtpConfigError::Sender)?;
        let reply_to =
            config.reply_to.as_ref().map(mailbox).transpose().map_err(|_| SmtpConfigError::Sender)?;
        if config.from.address.needs_smtputf8() {
            return Err(SmtpConfigError::Sender);
        }
        let tls = tls_parameters(&config)?;
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Ok(Self { inner: Arc::new(Inner { config, from, reply_to, tls, room, idle: Mutex::default() }) })
    }

    /// Makes one attempt within the configured time.
    ///
    /// # Errors
    /// [`MailFault::Refused`] or [`MailFault::Unreachable`]; its code says whether the mail may have arrived.
    pub async fn send(&self, mail: &Mail) -> Result<MailReceipt, MailFault> {
        let inner = &self.inner;
        let outgoing = build(mail, &inner.from, inner.reply_to.as_ref())?;
        let mut step = Step::Queue;
        // Given up half-way, the connection goes with the future: nobody meets its late answers.
        let sent = timeout(inner.config.timeout, self.attempt(&outgoing, &mut step)).await;
        let sent = sent.unwrap_or_else(|_| Err(timed_out(step, inner.config.timeout)));
        match &sent {
            Ok(receipt) => tracing::debug!(message_id = mail.message_id, receipt.answer, "mail handed over"),
            Err(fault) => tracing::debug!(message_id = mail.message_id, code = fault.code(), "mail kept"),
        }
        sent
    }

    async fn attempt(&self, mail: &Outgoing, step: &mut Step) -> Result<MailReceipt, MailFault> {
        let inner = &self.inner;
        // The semaphore is never closed; without a place there would be no limit, but there would be mail.
        let place = Arc::clone(&inner.room).acquire_owned().await.ok();
        *step = Step::Connect;
        let mut connection = match self.idle().await {
            Some(connection) => connection,
            None => Connection::open(&inner.config, inner.tls.as_ref(), step).await?,
        };
        let sent = connection.send(&inner.from.email, mail, step).await;
        if sent.is_ok() {
            self.park(connection);
        } else {
            close(connection, place);
        }
        sent
    }

    /// A connection that still answers.
    async fn idle(&self) -> Option<Connection> {
        loop {
            let newest = self.inner.lock().pop()?;
            let mut connection = newest.connection;
            if newest.since.elapsed() < MAX_IDLE && connection.is_alive().await {
                return Some(connection);
            }
            close(connection, None);
        }
    }

    fn park(&self, connection: Connection) {
        self.inner.lock().push(Idle { connection, since: Instant::now() });
        // Nothing else would end it if no mail follows.
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(MAX_IDLE).await;
            let Some(inner) = inner.upgrade() else { return };
            let old: Vec<Idle> = {
                let mut idle = inner.lock();
                let (old, young) = idle.drain(..).partition(|idle| idle.since.elapsed() >= MAX_IDLE);
                *idle = young;
                old
            };
            for idle in old {
                idle.connection.close().await;
            }
        });
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing is left half done under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the background: nobody waits for a goodbye. Its place is taken until then.
fn close(connection: Connection, place: Option<OwnedSemaphorePermit>) {
    tokio::spawn(async move {
        connection.close().await;
        drop(place);
    });
}
