//! What every process does for approvals: says which kinds need one, and ends those that nobody decided.

use std::time::Duration;

use domain::EffectClass;
use jobs::Registry;
use queue::events::ApprovalChange;
use queue::{KindBook, Queue};
use store::approvals::{self, State};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How often approvals whose time is over are looked for. Decisions that come too late are refused anyway.
const EVERY: Duration = Duration::from_secs(10);

/// Tells the database which kinds need an approval in every organisation: those that move money. Done before
/// the process enqueues anything.
pub(crate) async fn declare(store: &Store, registry: &Registry) -> Result<(), StoreError> {
    let money: Vec<&str> = registry
        .all()
        .into_iter()
        .filter(|policy| policy.effect == EffectClass::Money)
        .map(|policy| policy.kind)
        .collect();
    approvals::declare_guarded(store, &money).await
}

/// Ends what nobody decided in time, until told to stop.
pub(crate) async fn sweep(store: Store, queue: Queue, stop: CancellationToken) {
    loop {
        match approvals::expire_due(&store).await {
            Ok(ended) if !ended.is_empty() => {
                info!(count = ended.len(), "approvals ended undecided");
                let changes = ended.into_iter().filter(|one| queue.events().is_watched(one.org_id));
                let changes = changes.map(|one| {
                    let change = ApprovalChange {
                        approval_id: one.approval_id,
                        state: State::Expired.as_str().into(),
                        subject_kind: one.subject_kind.into(),
                    };
                    (one.org_id, change)
                });
                queue.events().publish_approvals(changes.collect()).await;
            }
            Ok(_) => {}
            Err(error) => debug!(%error, "approvals are looked at again shortly"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
