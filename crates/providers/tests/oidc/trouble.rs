//! What goes over the wire, what is kept, and providers that are slow, broken or badly set up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, Utc};
use domain::clock::ManualClock;
use domain::oidc::{AuthorizeAsk, IdentityProvider as _};
use providers::oidc::{CACHE_FOR, MAX_BODY_BYTES, OidcClient, OidcConfig};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::issuer::{ACCESS_TOKEN, CLIENT, CODE, Issuer, Reply, SECRET, VERIFIER, exchange};
use crate::signer::Signer;
use crate::{config, refused, unreachable};

const DISCOVERY: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn the_code_goes_once_with_its_verifier_and_an_encoded_secret() {
    let issuer = Issuer::start().await;
    issuer.give(&issuer.signer.token("ES256", &issuer.claims()));
    exchange(&issuer.client()).await.unwrap();
    let asked = issuer.asked("/token");
    assert_eq!(asked.len(), 1);
    let basic = asked[0].authorization.as_deref().unwrap().strip_prefix("Basic ").unwrap();
    let basic = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    assert_eq!(basic, "counter+sign:planted+secret%2F%2B%25");
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(asked[0].body.as_bytes()).into_owned().collect();
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", CODE),
        ("redirect_uri", crate::REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let mut document = issuer.document();
    document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    issuer.set(DISCOVERY, Reply::json(&document));
    exchange(&issuer.client()).await.unwrap();
    let by_post = issuer.asked("/token").pop().unwrap();
    assert!(by_post.authorization.is_none());
    let has = |name: &str, value: &str| {
        url::form_urlencoded::parse(by_post.body.as_bytes()).any(|field| field == (name.into(), value.into()))
    };
    assert!(has("client_id", CLIENT) && has("client_secret", SECRET));
}

#[tokio::test]
async fn what_is_announced_is_kept_ten_minutes_and_keys_come_anew_for_an_unknown_id() {
    let issuer = Issuer::start().await;
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let shared: Arc<dyn domain::Clock> = clock.clone();
    let client = OidcClient::with_clock(config(&issuer.url, CLIENT, SECRET), shared).unwrap();
    let count = || (issuer.asked(DISCOVERY).len(), issuer.asked("/jwks").len());

    issuer.give(&issuer.signer.token("ES256", &issuer.claims()));
    for _ in 0..3 {
        exchange(&client).await.unwrap();
    }
    assert_eq!(count(), (1, 1));

    let next = Signer::new("k-2");
    issuer.give(&next.token("ES256", &issuer.claims()));
    assert_eq!(refused(exchange(&client).await), "unknown_key");
    assert_eq!(count(), (1, 2), "asked again once, not more");
    issuer.set("/jwks", Reply::json(&next.jwks()));
    exchange(&client).await.unwrap();
    assert_eq!(count(), (1, 3));

    clock.advance(CACHE_FOR - TimeDelta::seconds(1));
    let mut claims = issuer.claims();
    claims["exp"] = json!(Utc::now().timestamp() + 3600);
    issuer.give(&next.token("ES256", &claims));
    exchange(&client).await.unwrap();
    assert_eq!(count(), (1, 3));
    clock.advance(TimeDelta::seconds(1));
    exchange(&client).await.unwrap();
    assert_eq!(count(), (2, 4));
}

#[tokio::test]
async fn a_missing_address_comes_from_userinfo_if_it_is_about_the_same_person() {
    let issuer = Issuer::start().await;
    let mut claims = issuer.claims();
    claims.as_object_mut().unwrap().remove("email");
    issuer.give(&issuer.signer.token("ES256", &claims));
    issuer.set("/me", Reply::json(&json!({"sub": "u-1", "email": "ana@example.org", "name": "Ana"})));
    let identity = exchange(&issuer.client()).await.unwrap();
    assert_eq!(identity.email.as_deref(), Some("ana@example.org"));
    assert!(!identity.email_verified, "the ID token's mark was for no address");
    assert_eq!(identity.name.as_deref(), Some("Ana"));
    let asked = issuer.asked("/me");
    assert_eq!(asked[0].authorization.as_deref(), Some(format!("Bearer {ACCESS_TOKEN}").as_str()));

    issuer.set("/me", Reply::json(&json!({"sub": "u-2", "email": "eve@example.org"})));
    assert_eq!(refused(exchange(&issuer.client()).await), "wrong_subject");
    issuer.set("/me", Reply::status(401));
    assert_eq!(refused(exchange(&issuer.client()).await), "bad_answer");
    issuer.set("/me", Reply::status(503));
    assert_eq!(unreachable(exchange(&issuer.client()).await), "server_error");

    let before = issuer.asked("/me").len();
    let settings = OidcConfig { scopes: "openid".into(), ..config(&issuer.url, CLIENT, SECRET) };
    assert_eq!(exchange(&OidcClient::new(settings).unwrap()).await.unwrap().email, None);
    assert_eq!(issuer.asked("/me").len(), before, "nobody asked for an address");
}

#[tokio::test]
async fn every_refusal_of_the_token_endpoint_has_its_name() {
    let issuer = Issuer::start().await;
    let no = |status, error: &str| Reply {
        status,
        ..Reply::json(&json!({"error": error, "error_description": format!("{CODE} is no good")}))
    };
    for (reply, code) in [
        (no(400, "invalid_grant"), "invalid_grant"),
        (no(401, "invalid_client"), "invalid_client"),
        (no(400, "invalid_client"), "invalid_client"),
        (Reply::status(401), "invalid_client"),
        (no(400, "unauthorized_client"), "unauthorized_client"),
        (no(400, "planted-code"), "token_refused"),
        (Reply::json(&json!("odd")), "bad_answer"),
        (Reply::json(&json!({"access_token": "x", "token_type": "Bearer"})), "bad_answer"),
        (Reply::json(&json!({"id_token": "x", "token_type": "mac"})), "unsupported"),
        (Reply { status: 200, body: vec![b' '; MAX_BODY_BYTES + 1], location: None }, "too_large"),
        (
            Reply { status: 307, body: Vec::new(), location: Some(format!("{}/other", issuer.url)) },
            "redirect",
        ),
    ] {
        issuer.set("/token", reply);
        assert_eq!(refused(exchange(&issuer.client()).await), code);
    }
    assert!(issuer.asked("/other").is_empty(), "a redirect would have carried the secret along");
    for (status, code) in [(429, "busy"), (500, "server_error"), (503, "server_error")] {
        issuer.set("/token", Reply::status(status));
        assert_eq!(unreachable(exchange(&issuer.client()).await), code);
    }
}

#[tokio::test]
async fn a_badly_announced_provider_is_refused_before_the_code_leaves() {
    let issuer = Issuer::start().await;
    let mut other = issuer.document();
    other["issuer"] = json!("https://login.example.com");
    for (path, reply, code) in [
        (DISCOVERY, Reply::status(404), "bad_answer"),
        (DISCOVERY, Reply::json(&json!({"issuer": issuer.url})), "bad_answer"),
        (DISCOVERY, Reply::json(&other), "wrong_issuer"),
    ] {
        issuer.set(path, reply);
        assert_eq!(refused(exchange(&issuer.client()).await), code);
    }
    issuer.set(DISCOVERY, Reply::json(&issuer.document()));
    issuer.set("/jwks", Reply::status(503));
    assert_eq!(unreachable(exchange(&issuer.client()).await), "server_error");
    assert!(issuer.asked("/token").is_empty());
    issuer.set("/jwks", Reply::json(&issuer.signer.jwks()));
    issuer.set(DISCOVERY, Reply::json(&other));
    // A refusal is not kept: the next call sees that it was put right.
    let client = issuer.client();
    assert_eq!(refused(exchange(&client).await), "wrong_issuer");
    issuer.set(DISCOVERY, Reply::json(&issuer.document()));
    issuer.give(&issuer.signer.token("ES256", &issuer.claims()));
    exchange(&client).await.unwrap();
}

#[tokio::test]
async fn silence_and_closed_ports_are_worth_another_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(300);
    let client = || {
        let settings = config(&format!("http://{address}"), CLIENT, SECRET);
        OidcClient::new(OidcConfig { time_limit: limit, ..settings }).unwrap()
    };
    let started = Instant::now();
    assert_eq!(unreachable(exchange(&client()).await), "timeout");
    assert!(started.elapsed() < limit * 10, "{:?}", started.elapsed());

    let hang_up = tokio::spawn(async move {
        // The first connection is the one that timed out.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    assert_eq!(unreachable(exchange(&client()).await), "broken");
    hang_up.await.unwrap();
    assert_eq!(unreachable(exchange(&client()).await), "connect");
}

#[tokio::test]
async fn a_provider_whose_certificate_is_not_trusted_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = OidcClient::new(config(&format!("https://localhost:{port}"), CLIENT, SECRET)).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let settings = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(settings));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    assert_eq!(unreachable(exchange(&client).await), "tls");
}

#[tokio::test]
async fn the_redirect_is_built_from_what_the_provider_announces() {
    let issuer = Issuer::start().await;
    let client = issuer.client();
    let ask = AuthorizeAsk {
        redirect_uri: crate::REDIRECT_URI.parse().unwrap(),
        state: "s".into(),
        nonce: "n".into(),
        pkce_challenge: "c".into(),
        login_hint: None,
        locale: Some("ne".into()),
    };
    let url = client.authorize(&ask).await.unwrap();
    assert!(url.as_str().starts_with(&format!("{}/auth?", issuer.url)), "{url}");
    assert_eq!(url, client.authorize_page().await.unwrap().url(&ask));
    assert!(url.query_pairs().any(|pair| pair == ("ui_locales".into(), "ne".into())));
    assert!(!url.as_str().contains("planted"));
    assert!(issuer.asked("/token").is_empty());
}
