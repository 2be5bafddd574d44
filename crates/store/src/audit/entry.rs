//! One entry, and how it is written.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{JobId, WorkspaceId};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// What an action was done to.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What sort of thing: `job`, `lane`, `member` …
    pub kind: &'static str,
    /// Which one.
    pub id: String,
}

/// One action, about to be written down. Nothing in it may be a secret: what is secret is left out or masked
/// before it gets here.
#[derive(Clone, Debug)]
pub struct Entry {
    action: &'static str,
    subject: Subject,
    workspace_id: Option<WorkspaceId>,
    job_id: Option<JobId>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
}

impl Entry {
    /// `action` reads `noun.verb`: `lane.pause`, `member.invite`.
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // callers hand an id over, most of them by copy
    pub fn new(action: &'static str, kind: &'static str, id: impl ToString) -> Self {
        Self {
            action,
            subject: Subject { kind, id: id.to_string() },
            workspace_id: None,
            job_id: None,
            before: None,
            after: None,
            reason: None,
        }
    }

    /// The room it happened in.
    #[must_use]
    pub fn workspace(mut self, workspace: Option<WorkspaceId>) -> Self {
        self.workspace_id = workspace;
        self
    }

    /// The job it is about.
    #[must_use]
    pub fn job(mut self, job: JobId) -> Self {
        self.job_id = Some(job);
        self
    }

    /// How it was before.
    #[must_use]
    pub fn before(mut self, before: impl Serialize) -> Self {
        self.before = serde_json::to_value(before).ok();
        self
    }

    /// How it is now.
    #[must_use]
    pub fn after(mut self, after: impl Serialize) -> Self {
        self.after = serde_json::to_value(after).ok();
        self
    }

    /// What the actor said about it.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The text that is hashed: every field, in this order, absent ones left out.
#[derive(Serialize)]
struct Content<'a> {
    entry_id: Uuid,
    org_id: Uuid,
    at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<Uuid>,
    standing: &'a str,
    action: &'a str,
    subject_kind: &'a str,
    subject_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Value>,
}

impl Tx {
    /// Writes an entry into the audit log, in this transaction: it lasts if and only if the change does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&mut self, entry: Entry) -> Result<Uuid, StoreError> {
        let Entry { action, subject, workspace_id, job_id, before, after, reason } = entry;
        let entry_id = Uuid::now_v7();
        let at: DateTime<Utc> = Utc::now();
        let who = self.who();
        let job_id = job_id.or(self.job_id());
        let origin = self.origin().clone();
        let content = serde_json::to_string(&Content {
            entry_id,
            org_id: self.org_id().0,
            at: &at.to_rfc3339_opts(SecondsFormat::Micros, true),
            actor_id: who.actor_id.map(|id| id.0),
            standing: who.standing.as_str(),
            action,
            subject_kind: subject.kind,
            subject_id: &subject.id,
            workspace_id: workspace_id.map(|id| id.0),
            job_id: job_id.map(|id| id.0),
            request_id: origin.request_id.as_deref(),
            session_id: who.session_id.map(|id| id.0),
            address: origin.address.map(|address| address.to_string()),
            reason: reason.as_deref(),
            before: before.as_ref(),
            after: after.as_ref(),
        })
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(Box::new(error))))?;
        sqlx::query(
            "INSERT INTO audit_entry (entry_id, org_id, at, actor_id, standing, action, subject_kind, subject_id,
                                      workspace_id, job_id, request_id, content)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(entry_id)
        .bind(self.org_id().0)
        .bind(at)
        .bind(who.actor_id.map(|id| id.0))
        .bind(who.standing.as_str())
        .bind(action)
        .bind(subject.kind)
        .bind(&subject.id)
        .bind(workspace_id.map(|id| id.0))
        .bind(job_id.map(|id| id.0))
        .bind(origin.request_id.as_deref())
        .bind(content)
        .execute(self.conn())
        .await?;
        self.recorded();
        Ok(entry_id)
    }
}
