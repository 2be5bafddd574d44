//! What a test gives a running job: recorded ports, a clock that stands still, a list of reports.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use chrono::{DateTime, TimeZone, Utc};
use domain::clock::ManualClock;
use domain::mail::{Mail, MailFault, MailReceipt, Mailer};
use domain::oidc::{AuthorizePage, CodeExchange, Identity, IdentityProvider, OidcFault};
use domain::ports::{
    PortFuture, SecretAsk, SecretsFault, Vault, VaultFault, WebhookAnswer, WebhookDelivery, WebhookFault,
    WebhookSecrets, WebhookSender,
};
use domain::{Done, JobError, JobId, OrgId};
use jobs::audit::CheckpointKeys;
use jobs::auth::FlowSeals;
use jobs::{Ctx, JobInfo, Ports, ProgressSink, Registry};
use secrecy::SecretString;
use serde_json::Value;
use serde_json::value::RawValue;
use store::Store;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

/// One recorded delivery.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) url: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) body: String,
    pub(crate) secrets: usize,
}

#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) answers: Mutex<VecDeque<Result<WebhookAnswer, WebhookFault>>>,
    pub(crate) sent: Mutex<Vec<Sent>>,
    pub(crate) secrets: Mutex<VecDeque<Result<Vec<SecretString>, SecretsFault>>>,
    pub(crate) reports: Mutex<Vec<(u64, Option<u64>)>>,
}

impl WebhookSender for Outside {
    fn deliver<'a>(
        &'a self,
        delivery: WebhookDelivery<'a>,
    ) -> PortFuture<'a, Result<WebhookAnswer, WebhookFault>> {
        self.sent.lock().unwrap().push(Sent {
            url: delivery.url.to_string(),
            event_id: delivery.event_id.to_owned(),
            event_type: delivery.event_type.to_owned(),
            timestamp: delivery.timestamp,
            body: String::from_utf8(delivery.body.to_vec()).unwrap(),
            secrets: delivery.secrets.len(),
        });
        let answer = self.answers.lock().unwrap().pop_front().unwrap();
        Box::pin(async move { answer })
    }
}

impl WebhookSecrets for Outside {
    fn signing_secrets<'a>(
        &'a self,
        _org: OrgId,
        _url: &'a Url,
    ) -> PortFuture<'a, Result<Vec<SecretString>, SecretsFault>> {
        let planned = self.secrets.lock().unwrap().pop_front();
        let secrets = planned.unwrap_or_else(|| Ok(vec![SecretString::from("whsec_test")]));
        Box::pin(async move { secrets })
    }
}

impl Mailer for Outside {
    fn send<'a>(&'a self, _mail: &'a Mail) -> PortFuture<'a, Result<MailReceipt, MailFault>> {
        Box::pin(async { Err(MailFault::NotConfigured) })
    }
}

impl IdentityProvider for Outside {
    fn authorize_page(&self) -> PortFuture<'_, Result<AuthorizePage, OidcFault>> {
        Box::pin(async { Err(OidcFault::NotConfigured) })
    }

    fn exchange<'a>(&'a self, _: &'a CodeExchange) -> PortFuture<'a, Result<Identity, OidcFault>> {
        Box::pin(async { Err(OidcFault::NotConfigured) })
    }
}

impl FlowSeals for Outside {
    fn open(&self, _: Uuid, _: &[u8]) -> Option<SecretString> {
        None
    }
}

impl CheckpointKeys for Outside {
    fn any(&self) -> bool {
        false
    }

    fn check(&self, _: &str, _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

impl Vault for Outside {
    fn open<'a>(&'a self, ask: SecretAsk<'a>) -> PortFuture<'a, Result<SecretString, VaultFault>> {
        Box::pin(async move { Err(VaultFault::NotFound(format!("there is no secret “{}”", ask.name))) })
    }
}

impl ProgressSink for Outside {
    fn progress(&self, _job: &JobInfo, done: u64, total: Option<u64>) {
        self.reports.lock().unwrap().push((done, total));
    }
}

/// A registry, an outside world and a job's facts.
pub(crate) struct Stage {
    pub(crate) registry: Registry,
    pub(crate) outside: Arc<Outside>,
    pub(crate) stop: CancellationToken,
    pub(crate) info: JobInfo,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

pub(crate) fn enqueued_at() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 29, 1, 30, 0).unwrap()
}

pub(crate) fn now() -> DateTime<Utc> {
    enqueued_at() + chrono::Duration::minutes(5)
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Registry::standard().unwrap())
    }

    pub(crate) fn with(registry: Registry) -> Self {
        Self {
            registry,
            outside: Arc::default(),
            stop: CancellationToken::new(),
            info: JobInfo {
                job_id: JobId::new(),
                org_id: OrgId::new(),
                workspace_id: None,
                actor_id: None,
                private_to: None,
                kind: "test.any".into(),
                attempt: 1,
                max_attempts: 8,
                claim_no: 1,
                request_id: Some("req-1".into()),
                created_at: enqueued_at(),
                deadline_at: None,
            },
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            webhook: self.outside.clone(),
            webhook_secrets: self.outside.clone(),
            mailer: self.outside.clone(),
            identity: self.outside.clone(),
            public_url: "https://app.example.com".parse().unwrap(),
            flow_seals: self.outside.clone(),
            audit_keys: self.outside.clone(),
            vault: self.outside.clone(),
            clock: Arc::new(ManualClock::at(now())),
        }
    }

    pub(crate) fn ctx(&self) -> Ctx {
        let sink = self.outside.clone();
        // Connects when first used: these kinds never do. Some tests have no runtime of their own.
        let _within = RUNTIME.enter();
        let store = Store::connect("postgres://nobody@127.0.0.1:1/none".to_owned().into(), None).unwrap();
        Ctx::new(self.info.clone(), Arc::new(self.ports()), store, sink, self.stop.clone())
    }

    /// Prepares the newest version and runs it.
    pub(crate) async fn run(&self, kind: &str, payload: Value) -> Result<Done, JobError> {
        let org = self.info.org_id;
        let job = self.registry.prepare(org, kind, None, raw(&payload)).unwrap();
        let ctx = self.ctx();
        self.registry.run(&job.kind, job.kind_version, &job.payload, &ctx).await
    }
}

pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    text(&value.to_string())
}

pub(crate) fn text(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// The code of a failure, and whether it is permanent.
pub(crate) fn code(error: &JobError) -> (&str, bool) {
    match error {
        JobError::Retry { code, .. } => (code, false),
        JobError::Fail { code, .. } => (code, true),
        JobError::Snooze { .. } => panic!("{error} is no failure"),
    }
}
