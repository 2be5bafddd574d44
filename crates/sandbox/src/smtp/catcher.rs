//! The listener: starts, counts connections, hands out what was caught.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::keep::{CaughtMail, Keep};
use super::session::Session;

/// How much a [`MailCatcher`] puts up with.
#[derive(Clone, Debug)]
pub struct CatcherOptions {
    /// Connections at a time; further ones get 421.
    pub connections: usize,
    /// How long a client may be silent.
    pub idle: Duration,
    /// Largest mail, in bytes as sent.
    pub mail_bytes: usize,
    /// Mails kept in memory, the newest; files in the folder are never removed.
    pub kept: usize,
    /// Whether addresses beyond ASCII are welcome (SMTPUTF8).
    pub smtputf8: bool,
}

impl Default for CatcherOptions {
    fn default() -> Self {
        Self {
            connections: 32,
            idle: Duration::from_secs(120),
            mail_bytes: 10 * 1024 * 1024,
            kept: 1000,
            smtputf8: true,
        }
    }
}

/// Why a [`MailCatcher`] can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatcherError {
    /// The address is not loopback.
    #[error("the mail catcher listens on loopback only, such as 127.0.0.1:1025; {0} is not")]
    NotLoopback(SocketAddr),
    /// The port can't be had.
    #[error("the mail catcher can't listen on {address}; choose another port, or 0 for any")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder can't be made.
    #[error("the folder for caught mail, {}, can't be made", folder.display())]
    Folder {
        /// What was asked for.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A running mail server on loopback; it stops, and breaks off its conversations, when this is dropped.
#[derive(Debug)]
pub struct MailCatcher {
    address: SocketAddr,
    keep: Arc<Keep>,
    accepting: JoinHandle<()>,
}

impl MailCatcher {
    /// Listens on a loopback address (port 0 for any) and, with a folder, also writes each mail there as
    /// `<timestamp>-<to>.eml`, readable by its owner only.
    ///
    /// # Errors
    /// [`CatcherError`].
    pub async fn start(address: SocketAddr, folder: Option<PathBuf>) -> Result<Self, CatcherError> {
        Self::start_with(address, folder, CatcherOptions::default()).await
    }

    /// [`start`](Self::start) with other limits.
    ///
    /// # Errors
    /// [`CatcherError`].
    pub async fn start_with(
        address: SocketAddr,
        folder: Option<PathBuf>,
        options: CatcherOptions,
    ) -> Result<Self, CatcherError> {
        if !address.ip().is_loopback() {
            return Err(CatcherError::NotLoopback(address));
        }
        let keep = Keep::open(folder.clone(), options.kept)
            .await
            .map_err(|source| CatcherError::Folder { folder: folder.unwrap_or_default(), source })?;
        let listen = |source| CatcherError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let keep = Arc::new(keep);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&keep), Arc::new(options)));
        Ok(Self { address, keep, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `smtp://127.0.0.1:<port>`, as `COUNTERSIGN_SMTP_URL` wants it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// What was caught and is still kept, the oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Arc<CaughtMail>> {
        self.keep.mails()
    }

    /// Each mail from now on. A slow listener misses the oldest and is told so by the channel.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<CaughtMail>> {
        self.keep.subscribe()
    }

    /// The newest mail to this address, as soon as there is one; `None` when time runs out.
    pub async fn mail_to(&self, to: &str, within: Duration) -> Option<Arc<CaughtMail>> {
        let deadline = Instant::now() + within;
        // Before the look at what is there, so that nothing falls between the two.
        let mut news = self.subscribe();
        loop {
            if let Some(mail) = self.mails().into_iter().rev().find(|mail| mail.is_to(to)) {
                return Some(mail);
            }
            // Missed some, or a new one: either way, look again.
            match timeout_at(deadline, news.recv()).await {
                Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return None,
            }
        }
    }
}

impl Drop for MailCatcher {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, keep: Arc<Keep>, options: Arc<CatcherOptions>) {
    let room = Arc::new(Semaphore::new(options.connections));
    // Aborts every conversation when the catcher goes.
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the mail catcher could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            sessions.spawn(turn_away(stream));
            continue;
        };
        let session = Session::new(stream, Arc::clone(&keep), Arc::clone(&options));
        sessions.spawn(async move {
            let _place = place;
            // A client that leaves without a word is its own affair.
            if let Err(error) = session.run().await {
                tracing::debug!(%error, "a mail client broke off");
            }
        });
    }
}

async fn turn_away(mut stream: TcpStream) {
    let busy = b"421 4.3.2 too many connections, try again later\r\n";
    let write = async {
        let _ = stream.write_all(busy).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), write).await;
}
