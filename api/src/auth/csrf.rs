//! Requests that carry a cookie must prove that one of our own pages made them: by a code that only such a
//! page could read, and by what the browser says about where the request comes from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, Method};
use vault::AuthKeys;

use crate::problem::{Code, Problem};

/// Carries the session's code.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PURPOSE: &str = "csrf";

/// The code of a session, by the SHA-256 of its token.
pub(crate) fn token(keys: &AuthKeys, session: &[u8; 32]) -> Result<String, Problem> {
    keys.mac(PURPOSE, session).map(|mac| URL_SAFE_NO_PAD.encode(mac)).map_err(Problem::internal)
}

/// Refuses a change that a cookie would carry out for another site.
pub(super) fn check(
    keys: &AuthKeys,
    session: &[u8; 32],
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    if *method == Method::GET || *method == Method::HEAD {
        return Ok(());
    }
    check_site(headers)?;
    let Some(sent) = headers.get(HEADER) else {
        return Err(refused(
            "send the header X-CSRF-Token with the csrf_token that GET /v1/me and signing in answer",
        ));
    };
    let code = URL_SAFE_NO_PAD.decode(sent.as_bytes()).unwrap_or_default();
    if keys.verify_mac(PURPOSE, session, &code) {
        Ok(())
    } else {
        Err(refused("the X-CSRF-Token is not this session's; take csrf_token from GET /v1/me"))
    }
}

/// Refuses what a browser says another site has caused.
pub(super) fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(FETCH_SITE).map(|value| value.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(refused("the browser says that another site caused this request")),
    }
}

fn refused(detail: &str) -> Problem {
    Problem::new(Code::CsrfRefused, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sessions_own_code_from_our_own_pages_passes() {
        let keys = AuthKeys::from_lines("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "test").unwrap();
        let (mine, other) = ([1; 32], [2; 32]);
        let of = |method: Method, code: Option<String>, site: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(code) = code {
                headers.insert(HEADER, code.parse().unwrap());
            }
            if let Some(site) = site {
                headers.insert(FETCH_SITE, site.parse().unwrap());
            }
            check(&keys, &mine, &method, &headers).map_err(|problem| problem.code())
        };
        let good = || token(&keys, &mine).ok();
        assert_eq!(of(Method::GET, None, Some("cross-site")), Ok(()));
        assert_eq!(of(Method::POST, good(), None), Ok(()));
        assert_eq!(of(Method::DELETE, good(), Some("same-origin")), Ok(()));
        for (code, site) in [
            (None, None),
            (Some(String::new()), None),
            (Some("!".into()), None),
            (token(&keys, &other).ok(), None),
            (good().map(|code| code[..42].to_owned()), None),
            (good(), Some("cross-site")),
            (good(), Some("same-site")),
        ] {
            assert_eq!(of(Method::POST, code, site), Err(Code::CsrfRefused));
        }
    }
}
