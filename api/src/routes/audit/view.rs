//! Entries as the API shows them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use store::audit::Recorded;
use utoipa::ToSchema;
use uuid::Uuid;

/// One entry of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditItem {
    /// Its id; ids made later are greater.
    pub(crate) entry_id: Uuid,
    /// When it happened.
    pub(crate) at: DateTime<Utc>,
    /// Who did it; none for the platform itself.
    pub(crate) actor_id: Option<Uuid>,
    /// That actor's name, as it is now.
    pub(crate) actor_name: Option<String>,
    /// What they were when they did it: a role, `token` or `system`.
    pub(crate) standing: String,
    /// What was done.
    #[schema(example = "lane.pause")]
    pub(crate) action: String,
    /// What sort of thing it was done to.
    pub(crate) subject_kind: String,
    /// Which one.
    pub(crate) subject_id: String,
    /// The workspace it happened in.
    pub(crate) workspace_id: Option<Uuid>,
    /// The job that did it, or whose life it is about.
    pub(crate) job_id: Option<Uuid>,
    /// The request that did it.
    pub(crate) request_id: Option<String>,
    /// The session it was done in.
    pub(crate) session_id: Option<String>,
    /// The network address it came from.
    pub(crate) address: Option<String>,
    /// What the actor said about it.
    pub(crate) reason: Option<String>,
    /// How it was before.
    #[schema(value_type = Option<Object>)]
    pub(crate) before: Option<Value>,
    /// How it was afterwards.
    #[schema(value_type = Option<Object>)]
    pub(crate) after: Option<Value>,
    /// Its number in the organisation's chain; none for the moment until it is linked.
    pub(crate) seq: Option<i64>,
    /// Its link's hash, in hexadecimal.
    pub(crate) hash: Option<String>,
}

impl From<Recorded> for AuditItem {
    fn from(row: Recorded) -> Self {
        let mut content = row.parsed();
        let mut take = |name: &str| content.get_mut(name).map(Value::take).filter(|value| !value.is_null());
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        Self {
            session_id: text(take("session_id")),
            address: text(take("address")),
            reason: text(take("reason")),
            before: take("before"),
            after: take("after"),
            entry_id: row.entry_id,
            at: row.at,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            standing: row.standing,
            action: row.action,
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            workspace_id: row.workspace_id,
            job_id: row.job_id,
            request_id: row.request_id,
            seq: row.seq,
            hash: row.hash.as_deref().map(encode),
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
