//! `/v1/auth`: getting in: sign-in, reset, invitations, OIDC. No token needed, nothing said about who exists.

mod access_token;
mod complete_reset;
mod oidc;
mod oidc_callback;
mod request_reset;
#[allow(clippy::module_inception)]
mod sign_in;
mod sign_out;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_out::sign_out))
        .routes(routes!(access_token::access_token))
        .routes(routes!(request_reset::request_reset))
        .routes(routes!(complete_reset::complete_reset))
        .routes(routes!(oidc::begin))
        .routes(routes!(oidc_callback::come_back))
}

/// An address as it is stored and as buckets are named by it.
pub(crate) fn checked_email(email: &str) -> Result<String, Problem> {
    let email = email.trim().to_lowercase();
    let one_at = email.split('@').count() == 2 && !email.starts_with('@') && !email.ends_with('@');
    let odd = email.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    if !one_at || odd || email.chars().count() > 254 {
        return Err(Problem::field("/email", "must be an e-mail address of at most 254 characters"));
    }
    Ok(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_alike_and_odd_ones_refused() {
        assert_eq!(checked_email(" Ana@Example.COM ").ok().as_deref(), Some("ana@example.com"));
        for odd in ["", "ana", "@x", "ana@", "a@b@c", "a b@c", "a\0@b", &format!("{}@b", "a".repeat(254))] {
            assert!(checked_email(odd).is_err(), "{odd}");
        }
    }
}
