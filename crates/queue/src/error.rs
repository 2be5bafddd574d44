//! What can go wrong in the engine, in words that say what to do.

use domain::JobId;

/// A failure of the engine's servers or of its own rows.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// PostgreSQL can't be reached or is going away. A statement under way may or may not have lasted.
    #[error("PostgreSQL is not available; try again shortly")]
    DatabaseAway(#[source] sqlx::Error),
    /// PostgreSQL answered with an error that trying again won't mend.
    #[error("the ledger refused the statement")]
    Database(#[source] sqlx::Error),
    /// Redis can't be reached. Jobs stay safe in the ledger and are dispatched later.
    #[error("Redis is not available; try again shortly")]
    DispatchAway(#[from] redis::RedisError),
    /// The engine is shutting down and takes no more.
    #[error("the queue is shutting down")]
    Closed,
}

impl From<sqlx::Error> for QueueError {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) { Self::DatabaseAway(error) } else { Self::Database(error) }
    }
}

/// Why a job was not taken into the ledger.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The idempotency key already belongs to a job with another payload.
    #[error(
        "this idempotency key was already used for job {existing} with another payload; use a new key for a new job"
    )]
    KeyReused {
        /// The job that owns the key.
        existing: JobId,
    },
    /// The payload is larger than [`domain::MAX_PAYLOAD_BYTES`].
    #[error(
        "the payload has {bytes} bytes; at most {limit} are allowed: store the data elsewhere and send a reference"
    )]
    PayloadTooLarge {
        /// Size of the payload's JSON text.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A field that the ledger can't hold.
    #[error("{field}: {problem}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The ledger's own rules keep it out: its kind needs an approval.
    #[error("{0}")]
    NeedsApproval(String),
    /// The servers' fault, not the caller's.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<sqlx::Error> for EnqueueError {
    fn from(error: sqlx::Error) -> Self {
        match refusal(&error) {
            Some(sentence) => Self::NeedsApproval(sentence),
            None => Self::Queue(error.into()),
        }
    }
}

/// What a trigger of ours said: whole sentences under a code of their own.
pub(crate) fn refusal(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    (error.code().as_deref() == Some("CS001")).then(|| error.message().to_owned())
}

/// Why an operator's action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// No such job, batch, lane, limit … in this organisation.
    #[error("there is no such {0} here")]
    NotFound(&'static str),
    /// The thing is in a state in which the action makes no sense.
    #[error("{0}")]
    Conflict(String),
    /// A replay that needs more than was given.
    #[error("{0}")]
    NeedsMore(String),
    /// A value out of range.
    #[error("{field}: {problem}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The servers' fault.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<sqlx::Error> for OpsError {
    fn from(error: sqlx::Error) -> Self {
        match refusal(&error) {
            Some(sentence) => Self::Conflict(sentence),
            None => Self::Queue(error.into()),
        }
    }
}

/// Whether an error says that PostgreSQL is gone or going, so that the same call may work later.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // 08 connection, 57P0x shutting down, starting or idle for too long, 25P03 the same inside a
            // transaction, 53 out of resources, 40 roll back and retry
            code.starts_with("08")
                || code == "25P03"
                || code.starts_with("57P")
                || code.starts_with("53")
                || code.starts_with("40")
        }),
        _ => false,
    }
}
