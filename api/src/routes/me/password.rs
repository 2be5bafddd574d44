//! `POST /v1/me/password`: a new password, for whoever knows the old one.

use axum::extract::State;
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use store::Tx;
use store::accounts::{self, Account, sessions};
use store::audit::Entry;
use utoipa::ToSchema;

use crate::auth::passwords::Verdict;
use crate::auth::{Person, slow};
use crate::input::Json as Body;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::routes::secrets::{hidden, hidden_option};
use crate::state::Api;

/// The old password and the new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePassword {
    /// The password now; left out only where there is none.
    #[serde(default, deserialize_with = "hidden_option")]
    #[schema(value_type = Option<String>, format = Password)]
    current: Option<SecretString>,
    /// 12 to 200 characters, not easy to guess.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 200)]
    new: SecretString,
}

/// Change one's password
///
/// Ends all other sessions.
#[utoipa::path(
    post,
    path = "/v1/me/password",
    tag = "me",
    operation_id = "changeMyPassword",
    security(("session" = [])),
    request_body = ChangePassword,
    responses((status = 204, description = "The password is changed."), Mine),
)]
pub(crate) async fn password(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let account_id = person.session.account_id;
    let account = check_own(&api, &person, request.current, "/current").await?;
    let hash = api.passwords().accept(request.new, &account.email, &account.name, "/new").await?;
    let now = api.now();
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    accounts::set_password(&mut tx, &hash, now).await?;
    sessions::end_all_of_account(&mut tx, Some(person.session.session_id), now).await?;
    tx.record(Entry::new("account.set_password", "account", account_id)).await?;
    tx.commit().await?;
    api.sessions().forget_account(account_id);
    Ok(StatusCode::NO_CONTENT)
}

/// The account, once its password was shown; one without a password shows none. `pointer` is its place in the
/// request.
pub(super) async fn check_own(
    api: &Api,
    person: &Person,
    shown: Option<SecretString>,
    pointer: &'static str,
) -> Result<Account, Problem> {
    slow::own_password(api, person.session.account_id).await?;
    let account = accounts::get(&mut Tx::for_reader(api.store(), &person.actor).await?).await?;
    if account.password_hash.is_some() {
        if shown.is_none() {
            return Err(Problem::field(pointer, "must be there: this needs your password"));
        }
        let verdict =
            api.passwords().verify(shown.unwrap_or_default(), account.password_hash.clone()).await?;
        if verdict == Verdict::Wrong {
            return Err(Problem::field(pointer, "is not the password; use “forgot password” if it is lost"));
        }
    }
    Ok(account)
}
