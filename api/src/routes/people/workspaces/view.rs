//! A room as clients see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::people::workspaces::Workspace;
use utoipa::ToSchema;
use uuid::Uuid;

/// A room of the organisation.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkspaceItem {
    pub(super) workspace_id: Uuid,
    /// Short name, unique in the organisation; never changes.
    #[schema(example = "madrid")]
    slug: String,
    /// Name for people.
    #[schema(example = "Madrid")]
    name: String,
    created_at: DateTime<Utc>,
}

impl From<Workspace> for WorkspaceItem {
    fn from(workspace: Workspace) -> Self {
        let Workspace { workspace_id, slug, name, created_at } = workspace;
        Self { workspace_id: workspace_id.0, slug, name, created_at }
    }
}
