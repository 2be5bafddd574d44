//! The whole flow against independent software: npm's `oidc-provider`, started on loopback from the folder
//! in `COUNTERSIGN_OIDC_PROVIDER` (`scripts/tools.sh` fills it). Without it these tests say so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use domain::oidc::{
    AuthorizeAsk, CodeExchange, IdentityProvider as _, pkce_challenge, pkce_verifier, random_token,
};
use providers::oidc::OidcClient;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::{REDIRECT_URI, config, refused, unreachable};

const SECRET: &str = "a secret/with+signs% that need encoding";
const SERVER: &str = include_str!("provider/server.mjs");

struct Provider {
    child: Child,
    issuer: String,
}

impl Provider {
    /// Starts it; `None` where it is not installed.
    async fn start() -> Option<Self> {
        let Some(folder) = std::env::var_os("COUNTERSIGN_OIDC_PROVIDER").filter(|value| !value.is_empty())
        else {
            println!("not checked: oidc-provider");
            return None;
        };
        let folder = PathBuf::from(folder);
        assert!(folder.join("node_modules").is_dir(), "{}: run `npm ci` there", folder.display());
        let mut child = Command::new("node")
            .args(["--input-type=module", "-"])
            .current_dir(folder)
            .env("REDIRECT_URI", REDIRECT_URI)
            .env("CLIENT_SECRET", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(SERVER.as_bytes()).await.unwrap();
        drop(stdin);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(issuer) = line.strip_prefix("ready ") {
                    return issuer.to_owned();
                }
            }
            panic!("the provider ended before it was ready");
        };
        let issuer = tokio::time::timeout(Duration::from_secs(30), ready).await.expect("it starts in time");
        // It goes on talking, and a closed pipe would end it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { child, issuer })
    }

    fn client(&self, id: &str) -> OidcClient {
        OidcClient::new(config(&self.issuer, id, SECRET)).unwrap()
    }
}

/// Signs in as `login` the way a browser would, and brings back what is needed to trade the code.
async fn sign_in(client: &OidcClient, login: &str) -> CodeExchange {
    let mut rng = rand::rng();
    let verifier = pkce_verifier(&mut rng);
    let ask = AuthorizeAsk {
        redirect_uri: REDIRECT_URI.parse().unwrap(),
        state: random_token(&mut rng),
        nonce: random_token(&mut rng),
        pkce_challenge: pkce_challenge(&verifier),
        login_hint: Some(login.to_owned()),
        locale: Some("es".to_owned()),
    };
    let browser =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let mut cookies: BTreeMap<String, String> = BTreeMap::new();
    let mut at = client.authorize(&ask).await.unwrap();
    for _ in 0..10 {
        let jar: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = browser.get(at.clone()).header(COOKIE, jar.join("; ")).send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let status = answer.status();
        let Some(location) = answer.headers().get(LOCATION) else {
            panic!("{} answered {status}: {}", at.path(), answer.text().await.unwrap());
        };
        at = at.join(location.to_str().unwrap()).unwrap();
        if at.as_str().starts_with("http://127.0.0.1:9/back") {
            return came_back(&at, &ask, verifier);
        }
    }
    panic!("the provider never sent the browser back");
}

fn came_back(at: &Url, ask: &AuthorizeAsk, pkce_verifier: SecretString) -> CodeExchange {
    let found = |name: &str| {
        at.query_pairs()
            .find(|(key, _)| key == name)
            .unwrap_or_else(|| panic!("{name} in {at}"))
            .1
            .into_owned()
    };
    assert_eq!(found("state"), ask.state);
    assert_eq!(found("from"), "idp", "the redirect address keeps its own query");
    CodeExchange {
        code: found("code").into(),
        redirect_uri: ask.redirect_uri.clone(),
        pkce_verifier,
        nonce: ask.nonce.clone(),
    }
}

#[tokio::test]
async fn people_sign_in_with_every_allowed_signature_and_a_code_works_once() {
    let Some(provider) = Provider::start().await else { return };
    for id in ["rs256", "ps256", "es256", "eddsa"] {
        let client = provider.client(id);
        let came = sign_in(&client, "ana").await;
        let identity = client.exchange(&came).await.unwrap_or_else(|fault| panic!("{id}: {fault:?}"));
        assert_eq!(identity.issuer, provider.issuer);
        assert_eq!(identity.subject, "ana");
        assert_eq!(identity.email.as_deref(), Some("ana@example.com"), "from userinfo");
        assert!(identity.email_verified);
        assert_eq!(identity.name.as_deref(), Some("Ana López"));
        assert_eq!(refused(client.exchange(&came).await), "invalid_grant", "a replayed code");
    }
}

#[tokio::test]
async fn a_code_needs_its_verifier_nonce_redirect_address_and_client() {
    let Some(provider) = Provider::start().await else { return };
    let client = provider.client("rs256");

    let mut came = sign_in(&client, "ana").await;
    came.pkce_verifier = pkce_verifier(&mut rand::rng());
    assert_eq!(refused(client.exchange(&came).await), "invalid_grant");

    let mut came = sign_in(&client, "ana").await;
    came.nonce = random_token(&mut rand::rng());
    assert_eq!(refused(client.exchange(&came).await), "wrong_nonce");

    let mut came = sign_in(&client, "ana").await;
    came.redirect_uri = "http://127.0.0.1:9/elsewhere".parse().unwrap();
    assert_eq!(refused(client.exchange(&came).await), "invalid_grant");

    let came = sign_in(&client, "ana").await;
    assert_eq!(
        refused(provider.client("es256").exchange(&came).await),
        "invalid_grant",
        "another client's code"
    );

    let came = sign_in(&client, "ana").await;
    let impostor = OidcClient::new(config(&provider.issuer, "rs256", "not the secret")).unwrap();
    assert_eq!(refused(impostor.exchange(&came).await), "invalid_client");
    assert!(client.exchange(&came).await.is_ok(), "a stranger's try did not use the code up");
}

#[tokio::test]
async fn a_provider_that_is_down_is_worth_another_try() {
    let Some(mut provider) = Provider::start().await else { return };
    let client = provider.client("rs256");
    let came = sign_in(&client, "ana").await;
    provider.child.kill().await.unwrap();
    assert_eq!(unreachable(client.exchange(&came).await), "connect");
    // One that knows nothing yet finds nothing out.
    assert_eq!(unreachable(provider.client("rs256").exchange(&came).await), "connect");
}
