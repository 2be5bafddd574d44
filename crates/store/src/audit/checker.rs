//! Follows a chain link by link, wherever the links come from, and compares checkpoints on the way.
//!
//! Refuses to touch a database: an export is checked by the same code on a machine that has none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::OrgId;
use serde::Deserialize;
use uuid::Uuid;

use super::chain::{Hash, genesis, link};
use super::checkpoint::Checkpoint;
use super::report::Report;

/// Checks a signature: key id, message, signature. None: there is no key of that id here.
pub type CheckSignature<'a> = dyn Fn(&str, &[u8], &[u8]) -> Option<bool> + Send + Sync + 'a;

/// Follows one chain.
pub struct Checker {
    report: Report,
    before: Hash,
    seq: i64,
    checkpoints: BTreeMap<i64, Vec<Checkpoint>>,
    good: BTreeMap<i64, bool>,
}

/// The columns of an entry; they repeat what its content says.
pub(super) struct Columns<'a> {
    pub(super) org_id: Uuid,
    pub(super) at: DateTime<Utc>,
    pub(super) actor_id: Option<Uuid>,
    pub(super) standing: &'a str,
    pub(super) action: &'a str,
    pub(super) subject_kind: &'a str,
    pub(super) subject_id: &'a str,
    pub(super) workspace_id: Option<Uuid>,
    pub(super) job_id: Option<Uuid>,
    pub(super) request_id: Option<&'a str>,
}

/// What a content says of its entry's columns.
#[derive(Deserialize)]
struct Said {
    entry_id: Uuid,
    org_id: Uuid,
    at: DateTime<Utc>,
    actor_id: Option<Uuid>,
    standing: String,
    action: String,
    subject_kind: String,
    subject_id: String,
    workspace_id: Option<Uuid>,
    job_id: Option<Uuid>,
    request_id: Option<String>,
}

impl Checker {
    /// Begins before the first link. `checkpoints` are those of the database and those kept elsewhere;
    /// `check` looks at their signatures, where a key is at hand.
    #[must_use]
    pub fn new(org: OrgId, checkpoints: Vec<Checkpoint>, check: Option<&CheckSignature<'_>>) -> Self {
        let mut checker = Self {
            report: Report::new(org.0),
            before: genesis(org),
            seq: 0,
            checkpoints: BTreeMap::new(),
            good: BTreeMap::new(),
        };
        checker.report.signatures_checked = check.is_some();
        for checkpoint in checkpoints {
            checker.take(checkpoint, check);
        }
        checker
    }

    /// Begins in the middle: after the link `seq`, whose hash is `hash`. For exports of a stretch of time.
    pub(super) fn begin_after(&mut self, seq: i64, hash: Hash) {
        (self.seq, self.before) = (seq, hash);
        self.checkpoints = self.checkpoints.split_off(&(seq + 1));
    }

    fn take(&mut self, checkpoint: Checkpoint, check: Option<&CheckSignature<'_>>) {
        self.report.checkpoints += 1;
        let seq = checkpoint.seq;
        if checkpoint.org_id != self.report.org_id {
            self.report.found(
                "checkpoint_foreign",
                Some(seq),
                None,
                "a checkpoint is of another organisation",
            );
            return;
        }
        if let Some(check) = check {
            let message = checkpoint.message();
            match check(&checkpoint.key_id, message.as_bytes(), &checkpoint.signature) {
                Some(true) => {
                    self.good.insert(seq, true);
                }
                Some(false) => {
                    self.report.found(
                        "checkpoint_forged",
                        Some(seq),
                        None,
                        "the signature of this checkpoint does not fit it: it was not made by the key it names",
                    );
                    return;
                }
                None => {
                    let message = format!(
                        "this checkpoint is signed with the key {}, which was not given: add its public key, or \
                         take the checkpoint for a forgery",
                        checkpoint.key_id
                    );
                    self.report.found("checkpoint_unknown_key", Some(seq), None, message);
                    return;
                }
            }
        }
        let same = self.checkpoints.entry(seq).or_default();
        if !same.iter().any(|known| known.hash == checkpoint.hash) {
            same.push(checkpoint);
        }
    }

    /// The next link as it is stored. `content`: none when its entry is gone.
    pub fn link(&mut self, seq: i64, hash: &[u8], entry_id: Option<Uuid>, content: Option<&str>) {
        self.report.links += 1;
        if seq != self.seq + 1 {
            let message = if seq == self.seq + 2 {
                format!("link {} is missing: an entry was taken out", seq - 1)
            } else if seq > self.seq + 1 {
                format!("links {} to {} are missing: entries were taken out", self.seq + 1, seq - 1)
            } else {
                format!("link {seq} comes after link {}: the order was changed", self.seq)
            };
            self.report.found("gap", Some(seq), entry_id, message);
        }
        let stored: Option<Hash> = hash.try_into().ok();
        match content {
            None => self.report.found(
                "entry_missing",
                Some(seq),
                entry_id,
                "the entry of this link is gone: it was deleted",
            ),
            Some(content) if stored != Some(link(&self.before, seq, content)) => {
                self.report.found(
                    "hash",
                    Some(seq),
                    entry_id,
                    "the hash does not fit: the entry's content, its place, or the hash itself was changed",
                );
            }
            Some(_) => {}
        }
        // The stored hash goes on, so that one change is told once.
        self.before = stored.unwrap_or_else(|| link(&self.before, seq, content.unwrap_or_default()));
        self.seq = seq;
        self.compare(seq);
    }

    fn compare(&mut self, seq: i64) {
        for checkpoint in self.checkpoints.remove(&seq).unwrap_or_default() {
            if checkpoint.hash == self.before {
                if self.good.contains_key(&seq) {
                    self.report.signed_to = self.report.signed_to.max(seq);
                }
                continue;
            }
            let message = format!(
                "at {} this link had the hash {}…; it has another now: the chain up to here was rewritten",
                checkpoint.at,
                hex::encode(&checkpoint.hash).get(..16).unwrap_or_default()
            );
            self.report.found("rewritten", Some(seq), None, message);
        }
    }

    /// Compares an entry's columns with its content.
    pub(super) fn columns(&mut self, seq: i64, entry_id: Uuid, content: &str, columns: &Columns<'_>) {
        let Ok(said) = serde_json::from_str::<Said>(content) else {
            self.report.found("content", Some(seq), Some(entry_id), "the content is no entry's content");
            return;
        };
        let fields = [
            ("entry_id", said.entry_id == entry_id),
            ("org_id", said.org_id == columns.org_id && said.org_id == self.report.org_id),
            ("at", said.at == columns.at),
            ("actor_id", said.actor_id == columns.actor_id),
            ("standing", said.standing == columns.standing),
            ("action", said.action == columns.action),
            ("subject_kind", said.subject_kind == columns.subject_kind),
            ("subject_id", said.subject_id == columns.subject_id),
            ("workspace_id", said.workspace_id == columns.workspace_id),
            ("job_id", said.job_id == columns.job_id),
            ("request_id", said.request_id.as_deref() == columns.request_id),
        ];
        let wrong: Vec<&str> = fields.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        if !wrong.is_empty() {
            let message = format!(
                "the columns {} say something else than the content, which is what is hashed: searching the log \
                 misleads",
                wrong.join(", ")
            );
            self.report.found("columns", Some(seq), Some(entry_id), message);
        }
    }

    /// Notes something found elsewhere.
    pub(super) fn found(
        &mut self,
        kind: &'static str,
        seq: Option<i64>,
        entry_id: Option<Uuid>,
        message: impl Into<String>,
    ) {
        self.report.found(kind, seq, entry_id, message);
    }

    /// The number of the last link looked at, and its hash.
    pub(super) fn stands_at(&self) -> (i64, Hash) {
        (self.seq, self.before)
    }

    /// No more links. What checkpoints say about links that did not come is a cut-off end, or a gap.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let last = self.seq;
        for (seq, checkpoints) in std::mem::take(&mut self.checkpoints) {
            for checkpoint in checkpoints {
                let message = if seq > last {
                    format!(
                        "at {} the chain had {seq} links; it ends at {last} now: the end was cut off",
                        checkpoint.at
                    )
                } else {
                    format!("at {} there was a link {seq}; it is gone", checkpoint.at)
                };
                self.report.found("cut", Some(seq), None, message);
            }
        }
        self.report.last_seq = last;
        self.report.last_hash = (last > 0).then(|| hex::encode(self.before));
        self.report.verified_at = Utc::now();
        self.report
    }
}
