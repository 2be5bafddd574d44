//! What can go wrong in the store, in words that say what to do.

use crate::constraints;

/// A refused or failed statement.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL can't be reached or is going away; the same call may work shortly.
    #[error("PostgreSQL is not available; try again shortly")]
    Away(#[source] sqlx::Error),
    /// No such thing in this organisation (another organisation's things do not exist here).
    #[error("there is no such {0} here")]
    NotFound(&'static str),
    /// Something of that name exists already.
    #[error("{0}")]
    Conflict(&'static str),
    /// A value that the tables do not hold.
    #[error("{field}: {problem}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: &'static str,
    },
    /// The cursor is not one that this list gave out for these filters.
    #[error("this cursor does not belong to this list; start again without one")]
    BadCursor,
    /// The statement ran into its time limit.
    #[error("this took too long; narrow it by kind, state or time")]
    TooSlow,
    /// A change was about to be committed without a word in the audit log: a mistake in our code.
    #[error("nothing was changed, because the change was not recorded")]
    Unrecorded,
    /// The database's own rules refuse it, whatever the code above thought.
    #[error("{0}")]
    Refused(String),
    /// PostgreSQL answered with an error that neither the caller nor time will mend.
    #[error("the database refused the statement")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) {
            return Self::Away(error);
        }
        if let sqlx::Error::Database(database) = &error {
            if database.code().as_deref() == Some("57014") {
                return Self::TooSlow;
            }
            // Our own triggers speak in whole sentences under this code.
            if database.code().as_deref() == Some("CS001") {
                return Self::Refused(database.message().to_owned());
            }
            if let Some(known) = database.constraint().and_then(constraints::explain) {
                return known;
            }
        }
        Self::Database(error)
    }
}

/// Whether an error says that PostgreSQL is gone or going.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Protocol(_) => true,
        // 08 connection, 57P0x stopping or starting, 53 out of resources, 40 rolled back: try again
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["08", "57P", "53", "40"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_away_and_a_missing_row_is_not() {
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Away(_)));
        assert!(matches!(StoreError::from(sqlx::Error::RowNotFound), StoreError::Database(_)));
    }
}
