//! An invitation as clients see it, and the job that mails it.

use chrono::{DateTime, Utc};
use domain::{InvitationId, OrgId};
use jobs::people::SendInvitation;
use queue::NewJob;
use serde::Serialize;
use store::people::invitations::{Invitation, NotAccepted};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::problem::{Code, Problem};
use crate::routes::people::ask;

/// An invitation.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationItem {
    invitation_id: Uuid,
    /// Who is invited.
    #[schema(example = "ann@example.com")]
    email: String,
    /// As what: owner, manager, finance, support or auditor.
    #[schema(example = "support")]
    role: &'static str,
    /// Whether they will see every workspace.
    all_workspaces: bool,
    /// The workspaces they will see; empty when they will see all.
    workspaces: Vec<Uuid>,
    /// Language of its mail.
    #[schema(example = "en")]
    locale: String,
    /// open, accepted, revoked or expired.
    #[schema(example = "open")]
    state: &'static str,
    /// Who invites; null: somebody at the command line.
    invited_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// The job that mails it; only where one was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    job_id: Option<Uuid>,
}

impl InvitationItem {
    pub(super) fn of(invitation: Invitation, now: DateTime<Utc>, job: Option<&NewJob>) -> Self {
        let (all_workspaces, workspaces) = ask::shown(&invitation.workspaces);
        Self {
            invitation_id: invitation.invitation_id.0,
            state: invitation.state(now).as_str(),
            email: invitation.email,
            role: invitation.role.as_str(),
            all_workspaces,
            workspaces,
            locale: invitation.locale,
            invited_by: invitation.invited_by.map(|actor| actor.0),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            accepted_at: invitation.accepted_at,
            revoked_at: invitation.revoked_at,
            job_id: job.map(|job| job.job_id.0),
        }
    }
}

/// The job that mails an invitation, asked for by this caller.
pub(super) fn mailing<P>(
    org: OrgId,
    caller: &Caller<P>,
    invitation_id: InvitationId,
) -> Result<NewJob, Problem> {
    let mut job = jobs::new_job(org, &SendInvitation { invitation_id })?;
    job.actor_id = Some(caller.actor.actor_id);
    job.request_id = Some(caller.request_id.clone()).filter(|id| !id.is_empty());
    Ok(job)
}

/// Why somebody did not come in.
pub(super) fn refused(why: NotAccepted) -> Problem {
    match why {
        NotAccepted::Store(error) => error.into(),
        NotAccepted::Unknown | NotAccepted::Ended(_) => Problem::new(Code::LinkRefused, why.to_string()),
        NotAccepted::HasAccount | NotAccepted::Somebodys => Problem::new(Code::Conflict, why.to_string()),
        NotAccepted::Disabled => Problem::new(Code::SignInRefused, why.to_string()),
    }
}
