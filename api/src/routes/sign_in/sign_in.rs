//! `POST /v1/auth/sign-in`: password, then the second factor where there is one.
//!
//! Unknown address, wrong password, disabled account, no password: the same answer and the same work. Tries
//! are counted before anything is hashed.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::AccountId;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use store::Origin;
use store::accounts::{self, Candidate, sessions};
use telemetry::metric;
use utoipa::ToSchema;

use super::checked_email;
use crate::auth::let_in::{self, Beginning, SignedIn};
use crate::auth::passwords::Verdict;
use crate::auth::second_factor::{Factor, Seed};
use crate::auth::{Visitor, slow};
use crate::input::Json as Body;
use crate::openapi::Door;
use crate::problem::{Code, Problem};
use crate::routes::secrets::{hidden, hidden_option};
use crate::state::Api;

/// Longest password looked at; longer ones are nobody's.
const MAX_PASSWORD: usize = 1_000;

/// Who wants in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInRequest {
    #[schema(example = "ana@example.com", max_length = 254)]
    email: String,
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String, format = Password, max_length = 1000)]
    password: SecretString,
    /// Six digits from the authenticator app, or a recovery code; only where the account has a second factor.
    #[serde(default, deserialize_with = "hidden_option")]
    #[schema(value_type = Option<String>, example = "123456")]
    code: Option<SecretString>,
    /// Short name of the organisation to work in; the first one joined when left out.
    org: Option<String>,
}

/// Sign in
///
/// Answers with a new session, as a cookie that scripts can't read. With a second factor, the first answer is
/// `second_factor_required`; repeat the request with `code`. Too many tries are answered with
/// `sign_in_slowed` and not looked at.
#[utoipa::path(
    post,
    path = "/v1/auth/sign-in",
    tag = "sign-in",
    operation_id = "signIn",
    request_body = SignInRequest,
    responses((status = 200, description = "Signed in.", body = SignedIn), Door),
)]
pub(crate) async fn sign_in(
    State(api): State<Api>,
    visitor: Visitor,
    Body(request): Body<SignInRequest>,
) -> Result<Response, Problem> {
    let answered = attempt(&api, &visitor, request).await;
    let outcome = match &answered {
        Ok(_) => Some("let_in"),
        Err(problem) => match problem.code() {
            Code::SignInRefused => Some("refused"),
            Code::SecondFactorRequired => Some("second_factor"),
            Code::SignInSlowed => Some("slowed"),
            _ => None,
        },
    };
    if let Some(outcome) = outcome {
        metrics::counter!(metric::SIGN_INS_TOTAL, "outcome" => outcome).increment(1);
    }
    answered
}

async fn attempt(api: &Api, visitor: &Visitor, request: SignInRequest) -> Result<Response, Problem> {
    api.auth_keys()?;
    let SignInRequest { email, password, code, org } = request;
    let email = checked_email(&email)?;
    if password.expose_secret().chars().count() > MAX_PASSWORD {
        return Err(Problem::field("/password", "must have at most 1000 characters"));
    }
    slow::sign_in(api, visitor, &email).await?;

    let candidate = accounts::candidate(api.store(), &email).await?;
    let hash = candidate.as_ref().and_then(|candidate| candidate.password_hash.clone());
    let verdict = api.passwords().verify(password.clone(), hash.clone()).await?;
    let Some(candidate) = candidate else { return Err(refused()) };
    if verdict == Verdict::Wrong || candidate.disabled {
        note_refusal(api, candidate.account_id, visitor.origin.clone());
        return Err(refused());
    }
    // The password was right: from here on the answers may differ.
    let account = candidate.account_id;
    let Some(membership) = let_in::membership(api, account, org.as_deref()).await? else {
        return Err(refused());
    };
    let factor = match read_code(api, &candidate, code.as_ref()).await {
        Err(problem) if problem.code() == Code::SignInRefused => {
            note_refusal(api, account, visitor.origin.clone());
            return Err(problem);
        }
        read => read?,
    };
    let renewed = match verdict {
        Verdict::RightButOld => Some(api.passwords().hash_again(password).await?),
        Verdict::Right | Verdict::Wrong => None,
    };
    let mut beginning = Beginning::open(api, visitor, account, &membership).await?;
    if let Some(factor) = &factor
        && !factor.consume(&mut beginning.tx, account, api.now()).await?
    {
        drop(beginning);
        note_refusal(api, account, visitor.origin.clone());
        return Err(refused());
    }
    if let (Some(old), Some(new)) = (&hash, &renewed) {
        accounts::rehash_password(&mut beginning.tx, old, new).await?;
    }
    let begun = beginning.finish("password", factor.is_some()).await?;
    if factor.is_some() {
        slow::right_code(api, account).await;
    }
    begun.answer(api).await
}

/// The second factor that was shown; none where the account has none.
async fn read_code(
    api: &Api,
    candidate: &Candidate,
    code: Option<&SecretString>,
) -> Result<Option<Factor>, Problem> {
    let Some(sealed) = &candidate.totp_sealed else { return Ok(None) };
    let Some(code) = code else {
        return Err(Problem::new(
            Code::SecondFactorRequired,
            "send the same again with code: six digits from the authenticator app, or a recovery code",
        ));
    };
    slow::code(api, candidate.account_id).await?;
    let seed = Seed::open(api.auth_keys()?, candidate.account_id, sealed)?;
    Factor::read(&seed, code.expose_secret(), api.now()).map(Some).ok_or_else(refused)
}

fn refused() -> Problem {
    Problem::new(
        Code::SignInRefused,
        "address, password or code do not fit; try again, or set a new password with “forgot password”",
    )
}

/// A refused try is written down when its answer has long left, so that the work shows in nobody's clock.
const NOTE_AFTER: Duration = Duration::from_millis(200);

/// Writes a refused try into the audit log, after the answer, so that it takes no longer for accounts that
/// exist; and at most once a minute.
fn note_refusal(api: &Api, account: AccountId, origin: Origin) {
    let api = api.clone();
    tokio::spawn(async move {
        tokio::time::sleep(NOTE_AFTER).await;
        if !slow::records_refusal(&api, account).await {
            return;
        }
        let noted = async {
            let memberships = accounts::memberships(api.store(), account).await?;
            match memberships.first() {
                Some(first) => sessions::record_refusal(api.store(), first.org_id, account, &origin).await,
                None => Ok(()),
            }
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a refused sign-in was not recorded");
        }
    });
}
