//! Whoever watches the organisation's live stream hears of approvals too.

use domain::{ApprovalId, OrgId};
use queue::events::ApprovalChange;
use store::approvals::{Asked, State};

use crate::state::Api;

/// A new approval, and those it made void.
pub(crate) async fn asked(api: &Api, org: OrgId, asked: &Asked) {
    for voided in &asked.voided {
        changed(api, org, *voided, State::Voided, &asked.subject_kind).await;
    }
    changed(api, org, asked.approval_id, State::Pending, &asked.subject_kind).await;
}

/// One approval stands elsewhere now.
pub(crate) async fn changed(
    api: &Api,
    org: OrgId,
    approval_id: ApprovalId,
    state: State,
    subject_kind: &str,
) {
    let events = api.queue().events();
    if events.is_watched(org) {
        let change =
            ApprovalChange { approval_id, state: state.as_str().into(), subject_kind: subject_kind.into() };
        events.publish_approvals(vec![(org, change)]).await;
    }
}
