//! Access tokens: five minutes of a session, for clients of the same origin that can't send the cookie.
//!
//! A token is only as good as its session: each use asks whether that still lives.

use chrono::{DateTime, Duration, Utc};
use domain::{OrgId, SessionId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::accounts::sessions::Presented;
use uuid::Uuid;
use vault::AuthKeys;

use super::tokens::refused;
use crate::problem::Problem;

/// How long one works.
pub(crate) const LIFE: Duration = Duration::minutes(5);

const PURPOSE: &str = "access-token";
const AUDIENCE: &str = "countersign";

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: Uuid,
    sid: SessionId,
    org: OrgId,
    iat: i64,
    exp: i64,
}

/// A token for a session, and when it stops working.
pub(crate) fn issue(
    keys: &AuthKeys,
    session: &Presented,
    now: DateTime<Utc>,
) -> Result<(SecretString, DateTime<Utc>), Problem> {
    let (key_id, secret) = keys.signing_secret(PURPOSE).map_err(Problem::internal)?;
    let expires_at = (now + LIFE).min(session.expires_at);
    let claims = Claims {
        aud: AUDIENCE.to_owned(),
        sub: session.account_id.0,
        sid: session.session_id,
        org: session.actor.org_id,
        iat: now.timestamp(),
        exp: expires_at.timestamp(),
    };
    let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::HS256) };
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.expose_secret()))
        .map_err(Problem::internal)?;
    Ok((token.into(), expires_at))
}

/// The session that a token names, if we signed it and it has not expired.
pub(super) fn session_of(keys: &AuthKeys, token: &str, now: DateTime<Utc>) -> Result<SessionId, Problem> {
    let forged = || refused("the access token is not one of ours; get one at POST /v1/auth/access-token");
    let header = jsonwebtoken::decode_header(token).map_err(|_| forged())?;
    let key_id = header.kid.ok_or_else(forged)?;
    let secret = keys.signing_secret_of(&key_id, PURPOSE).map_err(|_| forged())?;
    // One algorithm, whatever the header says. The time is asked of our own clock below.
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_exp = false;
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "aud", "sub"]);
    let key = DecodingKey::from_secret(secret.expose_secret());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|_| forged())?.claims;
    if claims.exp <= now.timestamp() {
        return Err(refused("the access token has expired; get a new one at POST /v1/auth/access-token"));
    }
    Ok(claims.sid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use domain::{AccountId, ActorId, Role};
    use store::{Actor, Workspaces};

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA";

    fn session(now: DateTime<Utc>) -> Presented {
        Presented {
            actor: Actor::person(OrgId::new(), ActorId::new(), Role::Owner, Workspaces::All),
            account_id: AccountId::new(),
            session_id: SessionId::new(),
            token_hash: [0; 32],
            last_seen_at: now,
            expires_at: now + Duration::days(1),
            revoked_at: None,
            step_up_at: None,
            second_factor: false,
            disabled: false,
        }
    }

    #[test]
    fn ours_are_known_and_others_refused() {
        let now = Utc::now();
        let keys = AuthKeys::from_lines(KEY, "test").unwrap();
        let session = session(now);
        let (token, expires_at) = issue(&keys, &session, now).unwrap();
        let token = token.expose_secret();
        assert_eq!(expires_at, now + LIFE);
        assert_eq!(session_of(&keys, token, now).unwrap(), session.session_id);
        assert!(session_of(&keys, token, now + LIFE).unwrap_err().detail().contains("expired"));
        let others = AuthKeys::from_lines(OTHER, "test").unwrap();
        assert!(session_of(&others, token, now).is_err());
        let both = AuthKeys::from_lines(&format!("{OTHER}\n{KEY}"), "test").unwrap();
        assert_eq!(session_of(&both, token, now).unwrap(), session.session_id);

        let parts: Vec<&str> = token.split('.').collect();
        let unsigned = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","kid":"{}"}}"#, keys.ids()[0]));
        let longer = URL_SAFE_NO_PAD.encode(
            String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap())
                .unwrap()
                .replace("\"exp\":", "\"exp\":1"),
        );
        for forged in [
            format!("{unsigned}.{}.", parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            format!("{}.{longer}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            "a.b.c".to_owned(),
        ] {
            assert!(session_of(&keys, &forged, now).is_err(), "{forged}");
        }
    }
}
