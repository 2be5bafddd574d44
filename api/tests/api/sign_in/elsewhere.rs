//! Signing in through an identity provider: the real routes and jobs, with a provider that says what the test
//! wants. The client that talks to real ones is tried in `crates/providers/tests/oidc`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::ApiConfig;
use chrono::Utc;
use domain::mail::{Mail, MailFault, MailReceipt, Mailer};
use domain::oidc::{AuthorizePage, CodeExchange, Identity, IdentityProvider, OidcFault, pkce_challenge};
use domain::ports::{
    PortFuture, SecretAsk, SecretsFault, Vault, VaultFault, WebhookAnswer, WebhookDelivery, WebhookFault,
    WebhookSecrets, WebhookSender,
};
use domain::{JobId, OrgId, Role, SystemClock};
use jobs::audit::CheckpointKeys;
use jobs::auth::{BeginOidc, FLOW_PURPOSE, FinishOidc, FlowSeals};
use jobs::{Ctx, Job, JobInfo, Ports, ProgressSink};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::browser::Browser;
use super::people;
use super::second_factor::turn_on;
use crate::app::{App, Reply};

/// A provider that knows one person, and the challenge it was sent.
#[derive(Default)]
struct Provider {
    person: Mutex<Option<Identity>>,
    challenge: Mutex<String>,
    nonce: Mutex<String>,
    away: Mutex<bool>,
}

impl IdentityProvider for Provider {
    fn authorize_page(&self) -> PortFuture<'_, Result<AuthorizePage, OidcFault>> {
        let away = *self.away.lock().unwrap();
        Box::pin(async move {
            if away {
                return Err(OidcFault::Unreachable { code: "connect", message: "it is away".into() });
            }
            Ok(AuthorizePage {
                endpoint: "https://idp.example/authorize".parse().unwrap(),
                client_id: "countersign".into(),
                scopes: "openid email".into(),
            })
        })
    }

    fn exchange<'a>(&'a self, exchange: &'a CodeExchange) -> PortFuture<'a, Result<Identity, OidcFault>> {
        let right = exchange.code.expose_secret() == "the-code"
            && pkce_challenge(&exchange.pkce_verifier) == *self.challenge.lock().unwrap()
            && exchange.nonce == *self.nonce.lock().unwrap()
            && exchange.redirect_uri.path() == "/v1/auth/oidc/callback";
        let person = self.person.lock().unwrap().clone().filter(|_| right);
        let refused = || OidcFault::Refused { code: "invalid_grant", message: "the code is no good".into() };
        Box::pin(async move { person.ok_or_else(refused) })
    }
}

/// What these jobs don't use.
struct Nothing;

impl WebhookSender for Nothing {
    fn deliver<'a>(&'a self, _: WebhookDelivery<'a>) -> PortFuture<'a, Result<WebhookAnswer, WebhookFault>> {
        panic!("no webhook is sent")
    }
}

impl WebhookSecrets for Nothing {
    fn signing_secrets<'a>(
        &'a self,
        _: OrgId,
        _: &'a Url,
    ) -> PortFuture<'a, Result<Vec<SecretString>, SecretsFault>> {
        panic!("no webhook is sent")
    }
}

impl Mailer for Nothing {
    fn send<'a>(&'a self, _: &'a Mail) -> PortFuture<'a, Result<MailReceipt, MailFault>> {
        panic!("no mail is sent")
    }
}

impl CheckpointKeys for Nothing {
    fn any(&self) -> bool {
        false
    }

    fn check(&self, _: &str, _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

impl Vault for Nothing {
    fn open<'a>(&'a self, _: SecretAsk<'a>) -> PortFuture<'a, Result<SecretString, VaultFault>> {
        panic!("no credential is opened")
    }
}

impl ProgressSink for Nothing {
    fn progress(&self, _: &JobInfo, _: u64, _: Option<u64>) {}
}

struct Seals;

impl FlowSeals for Seals {
    fn open(&self, flow: Uuid, sealed: &[u8]) -> Option<SecretString> {
        let keys = crate::app::auth_keys();
        let bytes = keys.open(FLOW_PURPOSE, sealed, flow.as_bytes()).ok()?;
        Some(String::from_utf8(bytes.expose_secret().to_vec()).ok()?.into())
    }
}

/// Runs the jobs of every flow as they come up, as a worker would.
fn work(app: &App, provider: &Arc<Provider>) -> tokio::task::JoinHandle<()> {
    let ports = Arc::new(Ports {
        webhook: Arc::new(Nothing),
        webhook_secrets: Arc::new(Nothing),
        mailer: Arc::new(Nothing),
        identity: provider.clone(),
        flow_seals: Arc::new(Seals),
        public_url: ApiConfig::default().public_url,
        audit_keys: Arc::new(Nothing),
        vault: Arc::new(Nothing),
        clock: Arc::new(SystemClock),
    });
    let (pool, store, org) = (app.db.superuser().clone(), app.store.clone(), app.org);
    tokio::spawn(async move {
        let mut done = std::collections::BTreeSet::new();
        loop {
            let jobs: Vec<(Uuid, String, serde_json::Value)> =
                sqlx::query_as("SELECT job_id, kind, payload::jsonb FROM job WHERE kind LIKE 'auth.%'")
                    .fetch_all(&pool)
                    .await
                    .unwrap();
            for (id, kind, payload) in jobs.into_iter().filter(|(id, ..)| done.insert(*id)) {
                assert_eq!(
                    payload.as_object().unwrap().len(),
                    1,
                    "a payload names the flow and nothing else"
                );
                let info = JobInfo {
                    job_id: JobId(id),
                    org_id: org,
                    workspace_id: None,
                    actor_id: None,
                    private_to: None,
                    kind: kind.as_str().into(),
                    attempt: 9,
                    max_attempts: 9,
                    claim_no: 1,
                    request_id: None,
                    created_at: Utc::now(),
                    deadline_at: None,
                };
                let ctx =
                    Ctx::new(info, ports.clone(), store.clone(), Arc::new(Nothing), CancellationToken::new());
                let _ = match kind.as_str() {
                    BeginOidc::KIND => serde_json::from_value::<BeginOidc>(payload).unwrap().run(&ctx).await,
                    _ => serde_json::from_value::<FinishOidc>(payload).unwrap().run(&ctx).await,
                };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

fn person(subject: &str, email: &str, verified: bool) -> Identity {
    Identity {
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        email: Some(email.into()),
        email_verified: verified,
        name: None,
        amr: vec!["pwd".into()],
        acr: None,
        auth_time: None,
    }
}

/// Leaves for the provider; answers the state it was sent along with.
async fn leave(browser: &mut Browser<'_>, provider: &Provider, return_to: &str) -> String {
    let path = format!("/v1/auth/oidc?return_to={return_to}");
    let reply = browser.get(&path).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let to = Url::parse(reply.header("location")).unwrap();
    assert_eq!(to.host_str(), Some("idp.example"));
    let of = |name: &str| to.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!(of("code_challenge_method"), "S256");
    *provider.challenge.lock().unwrap() = of("code_challenge");
    *provider.nonce.lock().unwrap() = of("nonce");
    of("state")
}

async fn come_back(browser: &mut Browser<'_>, state: &str, code: &str) -> Reply {
    browser.get(&format!("/v1/auth/oidc/callback?code={code}&state={state}&session_state=x")).await
}

async fn started() -> (App, Arc<Provider>) {
    let app = App::configured(ApiConfig { oidc: true, ..ApiConfig::default() }).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Manager).await;
    (app, Arc::new(Provider::default()))
}

#[tokio::test]
async fn somebody_comes_in_by_a_checked_address_and_later_by_their_identity() {
    let (app, provider) = started().await;
    let worker = work(&app, &provider);
    *provider.person.lock().unwrap() = Some(person("sub-1", "Ana@example.com", true));
    let mut ana = Browser::new(&app);
    let state = leave(&mut ana, &provider, "/jobs?state=dead%26kind=x").await;
    let page = come_back(&mut ana, &state, "the-code").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("url=/jobs?state=dead&amp;kind=x\""), "{}", page.text);
    let me = ana.get("/v1/me").await.ok();
    assert_eq!(me["account"]["email"], "ana@example.com");
    assert!(!ana.cookies.contains_key("countersign-flow"), "the flow's cookie is taken away");
    // The way back works once.
    come_back(&mut ana.clone(), &state, "the-code").await.is(403, "oidc_refused");

    // From then on by the identity, whatever address it has.
    *provider.person.lock().unwrap() = Some(person("sub-1", "another@example.com", false));
    let mut again = Browser::new(&app);
    let state = leave(&mut again, &provider, "/").await;
    assert_eq!(come_back(&mut again, &state, "the-code").await.status, 200);
    assert_eq!(again.get("/v1/me").await.ok()["account"]["email"], "ana@example.com");
    // Whoever is given that address at the provider later is somebody else.
    *provider.person.lock().unwrap() = Some(person("sub-2", "ana@example.com", true));
    let mut heir = Browser::new(&app);
    let state = leave(&mut heir, &provider, "/").await;
    come_back(&mut heir, &state, "the-code").await.is(409, "conflict");
    assert!(!heir.cookies.contains_key("countersign"));
    let kept: String = sqlx::query_scalar("SELECT string_agg(f::text, '') FROM oidc_flow f")
        .fetch_one(app.db.superuser())
        .await
        .unwrap();
    assert!(!kept.contains("the-code") && !kept.contains(&state), "{kept}");
    worker.abort();
}

#[tokio::test]
async fn strangers_wrong_codes_other_browsers_and_unchecked_addresses_stay_out() {
    let (app, provider) = started().await;
    let worker = work(&app, &provider);
    let mut browser = Browser::new(&app);
    for (identity, code) in [
        (person("s", "nobody@example.com", true), "the-code"),
        (person("s", "ana@example.com", false), "the-code"),
        (person("s", "ana@example.com", true), "another-code"),
    ] {
        *provider.person.lock().unwrap() = Some(identity);
        let state = leave(&mut browser, &provider, "/").await;
        let refused = come_back(&mut browser, &state, code).await;
        refused.is(403, "oidc_refused");
        assert!(!browser.cookies.contains_key("countersign"));
    }
    *provider.person.lock().unwrap() = Some(person("s", "ana@example.com", true));
    // A link that somebody else's browser is lured to, a state of nobody's, a provider that says no.
    let state = leave(&mut browser, &provider, "/").await;
    come_back(&mut Browser::new(&app), &state, "the-code").await.is(403, "oidc_refused");
    come_back(&mut browser, "nonsense", "the-code").await.is(403, "oidc_refused");
    browser.get("/v1/auth/oidc/callback?error=access_denied").await.is(403, "oidc_refused");
    browser.get("/v1/auth/oidc?return_to=//evil.example").await.is(422, "invalid_request");

    // An account with a second factor is not let in without one.
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    turn_on(&mut ana, Utc::now()).await;
    let mut there = Browser::new(&app);
    let state = leave(&mut there, &provider, "/").await;
    come_back(&mut there, &state, "the-code").await.is(403, "oidc_refused");
    provider.person.lock().unwrap().as_mut().unwrap().amr.push("mfa".into());
    let state = leave(&mut there, &provider, "/").await;
    assert_eq!(come_back(&mut there, &state, "the-code").await.status, 200);
    assert_eq!(there.get("/v1/me").await.ok()["session"]["second_factor"], true);

    *provider.away.lock().unwrap() = true;
    Browser::new(&app).get("/v1/auth/oidc").await.is(503, "oidc_away");
    worker.abort();
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_way() {
    let app = App::start().await;
    for path in ["/v1/auth/oidc", "/v1/auth/oidc/callback?code=x&state=y"] {
        Reply::of(app.anonymous(Method::GET, path)).await.is(404, "oidc_not_configured");
    }
}
