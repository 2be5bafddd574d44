//! Signing in through an identity provider with every process real: the API, a worker, and npm's
//! `oidc-provider`, started from the folder in `COUNTERSIGN_OIDC_PROVIDER` (`scripts/tools.sh` fills it). Only
//! the browser is played here, with a jar of its own for each site. Without the folder this test says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use testkit::eventually;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::leaks::{Logged, Planted, dump};
use crate::terminal::{Terminal, free_port};

const SERVER: &str = include_str!("../../../crates/providers/tests/oidc/provider/server.mjs");
const CLIENT_SECRET: &str = "planted secret/with+signs% that need encoding";
const CALLBACK: &str = "/v1/auth/oidc/callback";

/// The provider tells this test what it took and gave, so that it can be searched for.
const TELLS: &str = "
provider.on('grant.success', ({ oidc: { params }, body }) => {
  console.log(`told ${JSON.stringify([params.code, params.code_verifier, body.id_token, body.access_token])}`);
});";

struct Provider {
    child: Child,
    issuer: String,
    told: Arc<Mutex<Vec<[String; 4]>>>,
}

impl Provider {
    /// Starts it; `None` where it is not installed.
    async fn start(redirect_uri: &str) -> Option<Self> {
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
            .env("REDIRECT_URI", redirect_uri)
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(format!("{SERVER}{TELLS}").as_bytes()).await.unwrap();
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
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let telling = told.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(secrets) = line.strip_prefix("told ") {
                    telling.lock().unwrap().push(serde_json::from_str(secrets).unwrap());
                }
            }
        });
        Some(Self { child, issuer, told })
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    location: Option<Url>,
    retry_after: Option<String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A refusal with this status and code; answers its sentence.
    fn refusal(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{self:?}");
        body["detail"].as_str().unwrap().to_owned()
    }
}

/// A browser behind an address of its own: how fast one address may try is tried elsewhere.
#[derive(Clone)]
struct Browser {
    client: reqwest::Client,
    base: Url,
    address: String,
    jars: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser {
    fn new(base: &Url, number: u8) -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, base: base.clone(), address: format!("192.0.2.{number}"), jars: BTreeMap::new() }
    }

    async fn go(&mut self, to: &Url) -> Answer {
        let jar = self.jars.entry(to.authority().to_owned()).or_default();
        let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.get(to.clone()).header(COOKIE, cookies.join("; "));
        let answer = request.header("x-forwarded-for", &self.address).send().await.unwrap();
        for line in answer.headers().get_all(SET_COOKIE) {
            let mut parts = line.to_str().unwrap().split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            if parts.any(|part| part == "Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Answer {
            status: answer.status().as_u16(),
            location: header(LOCATION).map(|location| to.join(&location).unwrap()),
            retry_after: header(RETRY_AFTER),
            text: answer.text().await.unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let to = self.base.join(path).unwrap();
        self.go(&to).await
    }

    fn cookie(&self, name: &str) -> Option<&String> {
        self.jars.get(self.base.authority())?.get(name)
    }

    /// Leaves for the provider and is on its way; answers the provider's address.
    async fn leave(&mut self) -> Url {
        let answer = self.get("/v1/auth/oidc?return_to=/x%3Fpage=2").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.location.unwrap()
    }

    /// Signs in there as `who` and agrees; answers where the provider sends the browser then.
    async fn agree(&mut self, mut at: Url, who: &str) -> Url {
        at.query_pairs_mut().append_pair("login_hint", who);
        for _ in 0..10 {
            let answer = self.go(&at).await;
            at = answer.location.unwrap_or_else(|| panic!("{} answered {}", at.path(), answer.text));
            if at.path() == CALLBACK {
                assert_eq!(at.authority(), self.base.authority());
                return at;
            }
        }
        panic!("the provider never sent the browser back");
    }

    /// Goes all the way.
    async fn sign_in(&mut self, who: &str) -> Answer {
        let at = self.leave().await;
        let back = self.agree(at, who).await;
        self.go(&back).await
    }

    async fn me(&mut self) -> Value {
        let answer = self.get("/v1/me").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

fn part(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).unwrap_or_else(|| panic!("{name} in {url}")).1.into_owned()
}

/// What must not be found of a browser's way there and back.
fn plant(planted: &mut Planted, at: &Url, back: &Url) {
    planted.add("a state", part(at, "state"));
    planted.add("a nonce", part(at, "nonce"));
    planted.add("a code", part(back, "code"));
}

async fn number(terminal: &Terminal, query: &'static str) -> i64 {
    terminal.db.as_ref().unwrap().number(query).await
}

async fn ready(terminal: &Terminal, address: &str) {
    let url = format!("http://{address}/readyz");
    eventually(Duration::from_secs(60), || async { terminal.run(&["probe", &url]).await.code == Some(0) })
        .await;
}

async fn member(terminal: &Terminal, email: &str) {
    terminal.ok(&["admin", "create-owner", "--email", email, "--name", "Somebody"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_through_a_real_provider_and_nothing_secret_stays_behind() {
    let mut terminal = Terminal::new().await;
    let address = format!("127.0.0.1:{}", free_port());
    let base: Url = format!("http://{address}").parse().unwrap();
    let Some(mut provider) = Provider::start(base.join(CALLBACK).unwrap().as_str()).await else { return };
    let dir = terminal.folder().join("keys");
    for (name, value) in [
        ("COUNTERSIGN_LISTEN", address.as_str()),
        ("COUNTERSIGN_PUBLIC_URL", base.as_str()),
        ("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.1"),
        ("COUNTERSIGN_KEYS_DIR", dir.to_str().unwrap()),
        ("COUNTERSIGN_OIDC_ISSUER", &provider.issuer),
        ("COUNTERSIGN_OIDC_CLIENT_ID", "es256"),
        ("COUNTERSIGN_OIDC_CLIENT_SECRET", CLIENT_SECRET),
    ] {
        terminal.set(name, value);
    }
    terminal.ok(&["keys", "init"]).await;
    member(&terminal, "ana@example.com").await;
    let metrics = format!("127.0.0.1:{}", free_port());
    let worker = ["worker", "--metrics-listen", &metrics];
    let api = Logged::start(&terminal, "api", &["api"]);
    let first_worker = Logged::start(&terminal, "worker", &worker);
    for address in [&address, &metrics] {
        ready(&terminal, address).await;
    }
    let mut planted = Planted::default();
    planted.add("the client secret", CLIENT_SECRET);

    // A member with an address that the provider has checked is linked and signed in.
    let mut ana = Browser::new(&base, 1);
    let at = ana.leave().await;
    assert_eq!(at.origin(), provider.issuer.parse::<Url>().unwrap().origin());
    planted.add("a flow's cookie", ana.cookie("countersign-flow").unwrap());
    let back = ana.agree(at.clone(), "ana").await;
    plant(&mut planted, &at, &back);
    let mut kept = ana.clone();
    let page = ana.go(&back).await;
    assert!(page.status == 200 && page.text.contains("url=/x?page=2\""), "{page:?}");
    planted.add("a session's cookie", ana.cookie("countersign").unwrap());
    assert_eq!(ana.cookie("countersign-flow"), None);
    let me = ana.me().await;
    assert_eq!(me["account"]["email"], "ana@example.com");
    assert_eq!(me["session"]["second_factor"], true, "the provider says that it asked for a code: {me}");
    let account = me["account"]["account_id"].as_str().unwrap().to_owned();

    // The state works once, whether the browser kept its cookie or not.
    for browser in [&mut kept, &mut ana.clone()] {
        let said = browser.go(&back).await.refusal(403, "oidc_refused");
        assert!(said.contains("is over or began in another browser; begin again"), "{said}");
    }
    assert_eq!(kept.cookie("countersign"), None);

    // From then on the provider's own name for her counts, even when her address here is somebody else's.
    let rename = format!("UPDATE account SET email = 'ana.lopez@example.com' WHERE account_id = '{account}'");
    let pool = terminal.db.as_ref().unwrap().superuser();
    sqlx::query(AssertSqlSafe(rename)).execute(pool).await.unwrap();
    member(&terminal, "ana@example.com").await;
    let mut again = Browser::new(&base, 2);
    assert_eq!(again.sign_in("ana").await.status, 200);
    assert_eq!(again.me().await["account"]["account_id"], account.as_str());
    planted.add("a session's cookie", again.cookie("countersign").unwrap());

    // Nobody gets an account by knocking.
    let mut stranger = Browser::new(&base, 3);
    let said = stranger.sign_in("nobody").await.refusal(403, "oidc_refused");
    assert!(said.contains("ask an owner to invite you"), "{said}");
    assert_eq!(stranger.cookie("countersign"), None);
    assert_eq!(stranger.get("/v1/me").await.status, 401);
    assert_eq!(number(&terminal, "SELECT count(*) FROM account").await, 2);
    assert_eq!(number(&terminal, "SELECT count(*) FROM identity").await, 1);

    // A link from somebody else's sign-in signs nobody in, and does not use up theirs.
    let mut owner = Browser::new(&base, 4);
    let at = owner.leave().await;
    let back = owner.agree(at.clone(), "ana").await;
    plant(&mut planted, &at, &back);
    let mut lured = Browser::new(&base, 5);
    lured.go(&back).await.refusal(403, "oidc_refused");
    lured.leave().await;
    lured.go(&back).await.refusal(403, "oidc_refused");
    assert_eq!(lured.cookie("countersign"), None);
    assert_eq!(owner.go(&back).await.status, 200);
    assert_eq!(owner.me().await["account"]["account_id"], account.as_str());

    // Only paths of ours are returned to.
    let flows = number(&terminal, "SELECT count(*) FROM oidc_flow").await;
    for elsewhere in ["https://evil.example/", "//evil.example/", "/%5Cevil.example", "x"] {
        let refused = stranger.get(&format!("/v1/auth/oidc?return_to={elsewhere}")).await;
        assert!(refused.status == 422 && refused.text.contains("/return_to"), "{refused:?}");
    }
    assert_eq!(number(&terminal, "SELECT count(*) FROM oidc_flow").await, flows, "nothing began");

    // Without a worker browsers are told so in time: who leaves, and who comes back.
    let mut between = Browser::new(&base, 6);
    let at = between.leave().await;
    let back = between.agree(at.clone(), "ana").await;
    plant(&mut planted, &at, &back);
    let mut places = vec![first_worker.stop().await];
    let began = Instant::now();
    let mut leaving = Browser::new(&base, 7);
    let (left, came) = tokio::join!(leaving.get("/v1/auth/oidc"), between.go(&back));
    for answer in [left, came] {
        let said = answer.refusal(503, "oidc_away");
        assert!(said.contains("no worker has heard") && said.contains("address and password"), "{said}");
        assert_eq!(answer.retry_after.as_deref(), Some("5"));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(number(&terminal, "SELECT count(*) FROM oidc_flow WHERE code_sealed IS NOT NULL").await, 1);
    places.push(("the database while a code waits", dump(&terminal).await));

    // A worker that comes too late trades no code that nobody waits for; it serves who begins again.
    let trades = provider.told.lock().unwrap().len();
    let second_worker = Logged::start(&terminal, "second worker", &worker);
    ready(&terminal, &metrics).await;
    eventually(Duration::from_secs(60), || async {
        number(&terminal, "SELECT count(*) FROM job WHERE kind LIKE 'auth.%'").await == 0
    })
    .await;
    assert_eq!(provider.told.lock().unwrap().len(), trades, "nobody waited for it any more");
    assert_eq!(between.sign_in("ana").await.status, 200);

    // A provider that goes away while somebody is there.
    let mut late = Browser::new(&base, 8);
    let at = late.leave().await;
    let back = late.agree(at.clone(), "ana").await;
    plant(&mut planted, &at, &back);
    provider.child.kill().await.unwrap();
    let began = Instant::now();
    late.go(&back).await.refusal(503, "oidc_away");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(late.cookie("countersign"), None);

    for [code, verifier, id_token, access_token] in provider.told.lock().unwrap().iter() {
        planted.add("a code", code);
        planted.add("a verifier", verifier);
        planted.add("an ID token", id_token);
        planted.add("an access token", access_token);
    }
    assert_eq!(provider.told.lock().unwrap().len(), 5, "five sign-ins got as far as that");
    for process in [api, second_worker] {
        places.push(process.stop().await);
    }
    assert!(places.iter().any(|(name, log)| *name == "worker" && log.contains("auth.finish_oidc")));
    let dumped = dump(&terminal).await;
    assert!(dumped.contains("-- oidc_flow") && dumped.contains(&provider.issuer));
    places.push(("the database", dumped));
    let found: Vec<String> = places.iter().flat_map(|(place, text)| planted.found_in(place, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
