//! A member as clients see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::people::members::Member;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::routes::people::ask;

/// Somebody of the organisation.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonItem {
    /// Who, inside the organisation.
    actor_id: Uuid,
    /// Address they sign in with.
    #[schema(example = "ann@example.com")]
    email: String,
    /// Name for people.
    name: String,
    /// owner, manager, finance, support or auditor.
    #[schema(example = "manager")]
    role: &'static str,
    /// Whether they see every workspace.
    all_workspaces: bool,
    /// The workspaces they see; empty when they see all.
    workspaces: Vec<Uuid>,
    /// Since when they belong.
    joined_at: DateTime<Utc>,
    /// Since when they are let in no more.
    disabled_at: Option<DateTime<Utc>>,
}

impl From<Member> for PersonItem {
    fn from(member: Member) -> Self {
        let (all_workspaces, workspaces) = ask::shown(&member.workspaces);
        Self {
            actor_id: member.actor_id.0,
            email: member.email,
            name: member.name,
            role: member.role.as_str(),
            all_workspaces,
            workspaces,
            joined_at: member.joined_at,
            disabled_at: member.disabled_at,
        }
    }
}
