//! An export that proves itself: links in their order, contents verbatim, checkpoints at the end, one JSON
//! object a line. Checked on any machine with nothing but the file and the public key.
//!
//! ```text
//! {"countersign_audit":1,"org_id":"…","after_seq":0,"after_hash":"…","to_seq":2}
//! {"seq":1,"hash":"…","content":"{…}"}
//! {"seq":2,"hash":"…","content":"{…}"}
//! {"checkpoint":{"org_id":"…","seq":2,"hash":"…","at":"…","key_id":"…","signature":"…"}}
//! {"end":{"links":2,"checkpoints":1}}
//! ```

use std::io::{self, BufRead};

use chrono::{DateTime, Utc};
use domain::OrgId;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::chain::{Hash, genesis};
use super::checker::{CheckSignature, Checker};
use super::checkpoint::{Checkpoint, hex_text};
use super::report::Report;
use crate::cursor::first_id_at;
use crate::{StoreError, Tx};

/// One line of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExportLine {
    /// The first one.
    Head {
        /// The form's version: 1.
        countersign_audit: u32,
        /// Whose log.
        org_id: Uuid,
        /// The export begins after this link.
        after_seq: i64,
        /// That link's hash; of 0, what stands before every chain.
        #[serde(with = "hex_text")]
        after_hash: Vec<u8>,
        /// The last link in it.
        to_seq: i64,
    },
    /// A link with its entry's content.
    Link(Linked),
    /// A checkpoint.
    Checkpoint {
        /// As it was signed.
        checkpoint: Checkpoint,
    },
    /// The last one: what came before it.
    End {
        /// Counts.
        end: Counts,
    },
}

/// What an export holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Links.
    pub links: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}

/// A link with its entry's content.
#[derive(Clone, Debug, Serialize, Deserialize, FromRow)]
pub struct Linked {
    /// Its number.
    pub seq: i64,
    /// Its hash.
    #[serde(with = "hex_text")]
    pub hash: Vec<u8>,
    /// The entry as it was written; none when it is gone.
    pub content: Option<String>,
}

/// A stretch of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// It begins after this link.
    pub after_seq: i64,
    /// That link's hash.
    pub after_hash: Vec<u8>,
    /// Its last link; not above `after_seq` when there is none.
    pub to_seq: i64,
}

impl Range {
    /// The first line of its export.
    #[must_use]
    pub fn head(&self, org: OrgId) -> ExportLine {
        ExportLine::Head {
            countersign_audit: 1,
            org_id: org.0,
            after_seq: self.after_seq,
            after_hash: self.after_hash.clone(),
            to_seq: self.to_seq,
        }
    }
}

/// The stretch that holds every linked entry of a time; without bounds, the whole chain.
///
/// # Errors
/// [`StoreError`].
pub async fn range(
    tx: &mut Tx,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<Range, StoreError> {
    let (first, last): (Option<i64>, Option<i64>) = if from.is_none() && until.is_none() {
        sqlx::query_as("SELECT min(seq), max(seq) FROM audit_link WHERE org_id = current_org()")
            .fetch_one(tx.conn())
            .await?
    } else {
        sqlx::query_as(
            "SELECT min(l.seq), max(l.seq) FROM audit_entry e
             JOIN audit_link l ON l.entry_id = e.entry_id AND l.org_id = e.org_id
             WHERE e.org_id = current_org() AND e.entry_id >= $1 AND e.entry_id < $2",
        )
        .bind(from.map_or(Uuid::nil(), first_id_at))
        .bind(until.map_or(Uuid::max(), first_id_at))
        .fetch_one(tx.conn())
        .await?
    };
    let after_seq = first.map_or(0, |first| first - 1);
    let hash: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT hash FROM audit_link WHERE org_id = current_org() AND seq = $1")
            .bind(after_seq)
            .fetch_optional(tx.conn())
            .await?;
    let after_hash = hash.unwrap_or_else(|| genesis(tx.org_id()).to_vec());
    Ok(Range { after_seq, after_hash, to_seq: last.unwrap_or(0) })
}

/// Links after one number, up to another, at most `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn linked(tx: &mut Tx, after: i64, to: i64, limit: i64) -> Result<Vec<Linked>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT l.seq, l.hash, e.content FROM audit_link l LEFT JOIN audit_entry e ON e.entry_id = l.entry_id
         WHERE l.org_id = current_org() AND l.seq > $1 AND l.seq <= $2 ORDER BY l.seq LIMIT $3",
    )
    .bind(after)
    .bind(to)
    .bind(limit)
    .fetch_all(tx.conn())
    .await?)
}

/// Checks an export. `kept` are checkpoints from elsewhere; without `check` signatures are not looked at.
///
/// # Errors
/// When it can't be read, or is no export; what is found is in the report.
pub fn verify_export(
    lines: impl BufRead,
    kept: Vec<Checkpoint>,
    check: Option<&CheckSignature<'_>>,
    progress: &dyn Fn(u64, u64),
) -> io::Result<Report> {
    let strange = |number: usize, what: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {what}"))
    };
    let mut lines = lines.lines().enumerate();
    let first = lines.next().map(|(_, line)| line).transpose()?.unwrap_or_default();
    let Ok(ExportLine::Head { countersign_audit: 1, org_id, after_seq, after_hash, to_seq }) =
        serde_json::from_str(&first)
    else {
        return Err(strange(
            1,
            "this is no audit export; make one with `countersign audit export --format json`",
        ));
    };
    let org = OrgId(org_id);
    // Checkpoints stand at the end and are needed before: contents may be large, so only they are kept.
    let (mut found, mut links, mut end) = (kept, Vec::new(), None);
    for (number, line) in lines {
        let line = line?;
        match serde_json::from_str(&line) {
            Ok(ExportLine::Link(link)) if end.is_none() => links.push(link),
            Ok(ExportLine::Checkpoint { checkpoint }) if end.is_none() => found.push(checkpoint),
            Ok(ExportLine::End { end: counts }) if end.is_none() => end = Some(counts),
            _ => return Err(strange(number + 1, "this line is not one of an audit export; it was changed")),
        }
    }
    let told = Counts { links: u64::try_from(links.len()).unwrap_or_default(), checkpoints: 0 };
    found.retain(|one| one.org_id == org_id);
    let mut checker = Checker::new(org, found, check);
    let begins: Option<Hash> = after_hash.as_slice().try_into().ok();
    match begins {
        Some(hash) if after_seq > 0 || hash == genesis(org) => checker.begin_after(after_seq, hash),
        _ => checker.found(
            "head",
            Some(after_seq),
            None,
            "the first line's hash is not that of an empty chain",
        ),
    }
    for (done, link) in links.iter().enumerate() {
        let entry = link.content.as_deref().and_then(|content| {
            let content: serde_json::Value = serde_json::from_str(content).ok()?;
            content.get("entry_id")?.as_str()?.parse().ok()
        });
        checker.link(link.seq, &link.hash, entry, link.content.as_deref());
        if done % 1000 == 999 {
            progress(u64::try_from(done).unwrap_or_default(), told.links);
        }
    }
    progress(told.links, told.links);
    let last = checker.stands_at().0;
    if end.is_none_or(|end| end.links != told.links) || last != to_seq.max(after_seq) {
        let message = if last == to_seq.max(after_seq) {
            format!("the export announces {} links and does not hold as many: lines are missing", told.links)
        } else {
            format!("the export announces links up to {to_seq} and ends at {last}: lines are missing")
        };
        checker.found("incomplete", Some(last), None, message);
    }
    Ok(checker.finish())
}
