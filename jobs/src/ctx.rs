//! What a running job is given: facts about itself, its organisation's data, ports to the outside world, the
//! time, and a way to report progress, to name successors and to hear that it shall stop.
//!
//! Refuses to hand out the queue or a provider, and another organisation's data by accident: [`Ctx::tx`] is
//! opened for the job's own.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::mail::Mailer;
use domain::oidc::IdentityProvider;
use domain::ports::{SecretAsk, Vault, VaultFault, WebhookSecrets, WebhookSender};
use domain::{ActorId, Clock, JobError, JobId, OrgId, WorkspaceId};
use queue::NewJob;
use secrecy::SecretString;
use store::{Store, StoreError, Tx};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::audit::CheckpointKeys;
use crate::auth::FlowSeals;
use crate::{Job, new_job};

/// Facts about the attempt that runs.
#[derive(Clone, Debug)]
pub struct JobInfo {
    /// The job.
    pub job_id: JobId,
    /// Whose job it is.
    pub org_id: OrgId,
    /// The room it belongs to, if any.
    pub workspace_id: Option<WorkspaceId>,
    /// Who asked for it, if anybody did.
    pub actor_id: Option<ActorId>,
    /// Only this actor may see it.
    pub private_to: Option<ActorId>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Which attempt this is; 1 is the first.
    pub attempt: i16,
    /// Attempts in all.
    pub max_attempts: i16,
    /// Counts the claims of this job; a result under an older claim is thrown away.
    pub claim_no: i32,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it stops being worth running.
    pub deadline_at: Option<DateTime<Utc>>,
}

/// The outside world as jobs see it.
pub struct Ports {
    /// Delivers signed events.
    pub webhook: Arc<dyn WebhookSender>,
    /// Knows what to sign them with.
    pub webhook_secrets: Arc<dyn WebhookSecrets>,
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Says who somebody is who signs in elsewhere.
    pub identity: Arc<dyn IdentityProvider>,
    /// Opens what the API sealed for a sign-in elsewhere.
    pub flow_seals: Arc<dyn FlowSeals>,
    /// Where people's browsers find us: links in mails begin with it.
    pub public_url: Url,
    /// Checks signatures on the audit log.
    pub audit_keys: Arc<dyn CheckpointKeys>,
    /// Opens provider credentials; see [`Ctx::secret`].
    pub vault: Arc<dyn Vault>,
    /// Knows the time.
    pub clock: Arc<dyn Clock>,
}

/// Takes progress reports. Must return at once; the newest report wins and losing one harms nothing.
pub trait ProgressSink: Send + Sync + 'static {
    /// `done` of `total` units are done.
    fn progress(&self, job: &JobInfo, done: u64, total: Option<u64>);
}

/// Handed to [`Job::run`].
pub struct Ctx {
    /// Facts about this attempt.
    pub job: JobInfo,
    /// The outside world.
    pub ports: Arc<Ports>,
    store: Store,
    sink: Arc<dyn ProgressSink>,
    stop: CancellationToken,
    successors: Mutex<Vec<NewJob>>,
}

impl Ctx {
    /// A context for one attempt; `stop` is cancelled when the job shall stop.
    #[must_use]
    pub fn new(
        job: JobInfo,
        ports: Arc<Ports>,
        store: Store,
        sink: Arc<dyn ProgressSink>,
        stop: CancellationToken,
    ) -> Self {
        Self { job, ports, store, sink, stop, successors: Mutex::default() }
    }

    /// A transaction for this job inside its organisation: it may read and write what the platform may there,
    /// and what it records names the job and whoever asked for it.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn tx(&self) -> Result<Tx, StoreError> {
        Tx::for_job(&self.store, self.job.org_id, self.job.job_id, self.job.actor_id).await
    }

    /// Tenant data, for store functions that open transactions of their own.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A provider credential of this job's organisation, opened for this one use. Don't keep it: ask again.
    ///
    /// # Errors
    /// `secret_missing` and `secret_unusable`, permanent, with the name and what to do; `vault_away`, tried again.
    pub async fn secret(&self, name: &str) -> Result<SecretString, JobError> {
        let JobInfo { org_id, workspace_id, kind, .. } = &self.job;
        let ask = SecretAsk { org: *org_id, workspace: *workspace_id, name, used_by: kind };
        self.ports.vault.open(ask).await.map_err(|fault| match fault {
            VaultFault::NotFound(why) => JobError::fail("secret_missing", why),
            VaultFault::Unusable(why) => JobError::fail("secret_unusable", why),
            VaultFault::Away(why) => JobError::retry("vault_away", why),
        })
    }

    /// The present moment, by the clock that tests can set.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.ports.clock.now()
    }

    /// Says how far the job is; shown to whoever watches. Cheap, never fails.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>) {
        self.sink.progress(&self.job, done, total.into());
    }

    /// Enqueues `next` in the transaction that completes this job successfully; not at all otherwise.
    ///
    /// It belongs to this job's organisation, whatever it says, names this job as its parent, and takes
    /// over workspace and request id where it has none.
    pub fn then(&self, mut next: NewJob) {
        next.org_id = self.job.org_id;
        next.parent_job_id = Some(self.job.job_id);
        next.workspace_id = next.workspace_id.or(self.job.workspace_id);
        // What follows a private job tells as much as the job itself.
        next.private_to = next.private_to.or(self.job.private_to);
        next.request_id = next.request_id.or_else(|| self.job.request_id.clone());
        self.lock().push(next);
    }

    /// [`Ctx::then`] for a payload in hand.
    ///
    /// # Errors
    /// `successor_unwritable`, permanent, when the payload can't be written as JSON.
    pub fn then_job<J: Job>(&self, payload: &J) -> Result<(), JobError> {
        let next = new_job(self.job.org_id, payload)
            .map_err(|error| JobError::fail("successor_unwritable", error))?;
        self.then(next);
        Ok(())
    }

    /// What [`Ctx::then`] collected; empties the list. For whoever completes the job.
    #[must_use]
    pub fn take_successors(&self) -> Vec<NewJob> {
        std::mem::take(&mut *self.lock())
    }

    /// Resolves when the job shall stop: it was cancelled, its worker lost it or is shutting down.
    /// A long job selects on this and returns [`Ctx::stopped`].
    pub async fn cancelled(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the job shall stop; for loops without a place to select.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// What a job that was told to stop returns. A cancelled job ends as cancelled; one that was
    /// interrupted for another reason runs again.
    #[must_use]
    pub fn stopped(&self) -> JobError {
        JobError::retry("stopped", "the job stopped because it was told to")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<NewJob>> {
        self.successors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
