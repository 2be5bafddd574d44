//! What a verification found.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// Problems told in full; more are counted.
const TOLD: usize = 1000;

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Short name of the sort of problem.
    pub kind: &'static str,
    /// The link it is about.
    pub seq: Option<i64>,
    /// The entry it is about.
    pub entry_id: Option<Uuid>,
    /// What was found and what it means.
    pub message: String,
}

/// The outcome of looking through one chain.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whose chain.
    pub org_id: Uuid,
    /// Whether nothing was found.
    pub intact: bool,
    /// Links looked at.
    pub links: u64,
    /// The last link's number; 0 of an empty chain.
    pub last_seq: i64,
    /// Its hash, in hexadecimal.
    pub last_hash: Option<String>,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
    /// Up to which link a good signature vouches for the chain: what follows could be rewritten by whoever
    /// can write to the database.
    pub signed_to: i64,
    /// Whether signatures were checked; they are not when no public key was given.
    pub signatures_checked: bool,
    /// Everything found, told in full up to 1000.
    pub problems: Vec<Problem>,
    /// How many there are in all.
    pub problems_total: u64,
    /// When it was finished.
    pub verified_at: DateTime<Utc>,
}

impl Report {
    pub(super) fn new(org_id: Uuid) -> Self {
        Self {
            org_id,
            intact: true,
            links: 0,
            last_seq: 0,
            last_hash: None,
            checkpoints: 0,
            signed_to: 0,
            signatures_checked: false,
            problems: Vec::new(),
            problems_total: 0,
            verified_at: Utc::now(),
        }
    }

    pub(super) fn found(
        &mut self,
        kind: &'static str,
        seq: Option<i64>,
        entry_id: Option<Uuid>,
        message: impl Into<String>,
    ) {
        self.intact = false;
        self.problems_total += 1;
        if self.problems.len() < TOLD {
            self.problems.push(Problem { kind, seq, entry_id, message: message.into() });
        }
    }
}
