//! Keys: made, shown, added; what older ones hold moves, also after a stop on the way.

use std::path::Path;

use domain::{OrgId, SecretId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use store::secrets::{NewSecret, SealedValue, seal_context};
use store::{Tx, secrets};
use vault::{AuthKeys, Sealed, files};

use crate::terminal::Terminal;

/// A terminal with an organisation `acme`, its id, and a folder with keys.
async fn with_keys() -> (Terminal, OrgId, std::path::PathBuf) {
    let mut terminal = Terminal::new().await;
    let dir = terminal.folder().join("keys");
    terminal.set("COUNTERSIGN_KEYS_DIR", dir.to_str().unwrap());
    terminal.ok(&["keys", "init"]).await;
    let db = terminal.db.as_ref().unwrap();
    let org: uuid::Uuid =
        sqlx::query_scalar("SELECT org_id FROM org").fetch_one(db.superuser()).await.unwrap();
    (terminal, OrgId(org), dir)
}

async fn store_secrets(terminal: &Terminal, org: OrgId, dir: &Path, count: usize) -> Vec<SecretId> {
    let sealing = files::sealing_keys(dir).unwrap();
    let store = terminal.db.as_ref().unwrap().store();
    let mut tx = Tx::system(&store, org, "a test").await.unwrap();
    let mut ids = Vec::new();
    for n in 0..count {
        let secret_id = SecretId::new();
        let value = SecretString::from(format!("value {n}"));
        let sealed = sealing.seal(&value, &seal_context(org, secret_id, 1)).unwrap();
        let new = NewSecret {
            secret_id,
            workspace_id: None,
            name: format!("secret.{}", secret_id.0.simple()),
            kind: "api_key".into(),
            owner_system: "Stripe".into(),
            expires_at: None,
            sealed: SealedValue {
                key_id: sealed.key_id,
                wrapped_key: sealed.wrapped_key,
                ciphertext: sealed.ciphertext,
            },
        };
        secrets::create(&mut tx, &new).await.unwrap();
        ids.push(secret_id);
    }
    tx.commit().await.unwrap();
    ids
}

async fn key_ids(terminal: &Terminal) -> Vec<(String, i64)> {
    let db = terminal.db.as_ref().unwrap();
    sqlx::query_as("SELECT key_id, count(*) FROM secret GROUP BY 1 ORDER BY 2 DESC")
        .fetch_all(db.superuser())
        .await
        .unwrap()
}

fn holds(shown: &Value, key: &str) -> Option<i64> {
    let keys = shown["keys"].as_array().unwrap();
    keys.iter().find(|row| row["key_id"] == key).and_then(|row| row["holds"].as_i64())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_key_holds_moves_to_the_new_one_and_still_opens() {
    let (terminal, org, dir) = with_keys().await;
    let ids = store_secrets(&terminal, org, &dir, 230).await;
    let old = files::sealing_keys(&dir).unwrap().ids()[0].to_owned();
    assert!(terminal.ok(&["keys", "init"]).await.out.contains("nothing was changed"));
    let shown = terminal.json(&["keys", "show"]).await;
    assert_eq!(holds(&shown, &old), Some(230), "{shown}");
    assert_eq!(terminal.json(&["keys", "rotate"]).await["moved"], 0);

    let new = terminal.json(&["keys", "add"]).await["key_id"].as_str().unwrap().to_owned();
    // A run that is killed on the way leaves whole batches behind; the next one goes on.
    let mut child = terminal.command(&["keys", "rotate"]).spawn().unwrap();
    let moving = || async { key_ids(&terminal).await.iter().any(|(key, _)| *key == new) };
    testkit::eventually(std::time::Duration::from_secs(30), moving).await;
    child.kill().await.unwrap();
    let done = terminal.json(&["keys", "rotate"]).await;
    assert_eq!((&done["current"], &done["left"]), (&new.clone().into(), &serde_json::json!({})), "{done}");
    assert_eq!(key_ids(&terminal).await, [(new.clone(), 230)]);
    let shown = terminal.json(&["keys", "show"]).await;
    assert_eq!((holds(&shown, &old), holds(&shown, &new)), (Some(0), Some(230)), "{shown}");

    // The new key alone opens them, each in its place.
    let pem = std::fs::read_to_string(dir.join("vault.pem")).unwrap();
    let newest = pem.split_inclusive("-----END PRIVATE KEY-----\n").next().unwrap();
    let opener = vault::OpeningKeys::from_pem(newest, "test").unwrap();
    assert_eq!(opener.ids(), [new.as_str()]);
    let db = terminal.db.as_ref().unwrap();
    for (n, id) in ids.iter().enumerate().step_by(50) {
        let (key_id, wrapped_key, ciphertext): (String, Vec<u8>, Vec<u8>) =
            sqlx::query_as("SELECT key_id, wrapped_key, ciphertext FROM secret WHERE secret_id = $1")
                .bind(id.0)
                .fetch_one(db.superuser())
                .await
                .unwrap();
        let sealed = Sealed { key_id, wrapped_key, ciphertext };
        let value = vault::open(&opener, &sealed, &seal_context(org, *id, 1)).await.unwrap();
        assert_eq!(value.expose_secret(), format!("value {n}"));
    }
    let recorded: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry WHERE action = 'secret.rewrap'")
        .fetch_one(db.superuser())
        .await
        .unwrap();
    assert!(recorded >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_open_is_named_and_the_others_move() {
    let (terminal, org, dir) = with_keys().await;
    let ids = store_secrets(&terminal, org, &dir, 3).await;
    let db = terminal.db.as_ref().unwrap();
    sqlx::query("UPDATE secret SET wrapped_key = overlay(wrapped_key placing '\\x00'::bytea from 9) WHERE secret_id = $1")
        .bind(ids[1].0)
        .execute(db.superuser())
        .await
        .unwrap();
    terminal.ok(&["keys", "add"]).await;
    let ended = terminal.run(&["keys", "rotate"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&ids[1].to_string()), "{}", ended.err);
    assert_eq!(key_ids(&terminal).await[0].1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_secrets_and_second_factors_move_to_the_apis_new_key() {
    let (terminal, org, dir) = with_keys().await;
    let store = terminal.db.as_ref().unwrap().store();
    let endpoint = domain::HookEndpointId::new();
    let context = store::hooks::seal_context(endpoint);
    let keys = files::auth_keys(&dir).unwrap();
    let mut tx = Tx::system(&store, org, "a test").await.unwrap();
    let new = store::hooks::NewEndpoint {
        endpoint_id: endpoint,
        workspace_id: None,
        provider: "standard".into(),
        name: "shop".into(),
        secret_sealed: keys.seal(store::hooks::SEAL_PURPOSE, b"whsec_x", &context).unwrap(),
        tolerance_s: 300,
        forward_url: None,
    };
    store::hooks::create(&mut tx, new).await.unwrap();
    tx.commit().await.unwrap();
    let account = uuid::Uuid::now_v7();
    let seed = |name| keys.seal(secrets::SEED_PURPOSE, name, account.as_bytes()).unwrap();
    sqlx::query(
        "INSERT INTO account (account_id, email, name, totp_sealed, totp_confirmed_at, totp_pending_sealed)
         VALUES ($1, 'a@people.test', 'A', $2, now(), $3)",
    )
    .bind(account)
    .bind(seed(b"the seed in use"))
    .bind(seed(b"the seed to come"))
    .execute(terminal.db.as_ref().unwrap().superuser())
    .await
    .unwrap();
    terminal.ok(&["keys", "add", "--auth"]).await;
    for moved in [1, 0] {
        let told = terminal.json(&["keys", "rotate", "--auth"]).await;
        assert_eq!((&told["endpoints"], &told["second_factors"]), (&moved.into(), &moved.into()), "{told}");
    }
    let sealed: (Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT totp_sealed, totp_pending_sealed FROM account WHERE account_id = $1")
            .bind(account)
            .fetch_one(terminal.db.as_ref().unwrap().superuser())
            .await
            .unwrap();
    let lines = std::fs::read_to_string(dir.join("auth.keys")).unwrap();
    let newest = lines.lines().find(|line| !line.starts_with('#')).unwrap();
    let door = store::hooks::look_up(&store, endpoint).await.unwrap().unwrap();
    let ring = AuthKeys::from_lines(newest, "test").unwrap();
    let opened = ring.open(store::hooks::SEAL_PURPOSE, &door.secrets_sealed[0], &context).unwrap();
    assert_eq!(opened.expose_secret(), b"whsec_x");
    for (sealed, seed) in [(&sealed.0, &b"the seed in use"[..]), (&sealed.1, b"the seed to come")] {
        let opened = ring.open(secrets::SEED_PURPOSE, sealed, account.as_bytes()).unwrap();
        assert_eq!(opened.expose_secret(), seed);
    }
}

#[tokio::test]
async fn without_a_folder_the_setting_is_named() {
    let terminal = Terminal::bare();
    let ended = terminal.run(&["keys", "init"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("COUNTERSIGN_KEYS_DIR"), "{}", ended.err);
    let dir = terminal.folder().join("new/keys");
    let made = terminal.ok(&["keys", "init", "--dir", dir.to_str().unwrap()]).await.out;
    assert!(made.contains("vault.pem") && !made.contains("BEGIN"), "{made}");
}

#[tokio::test]
async fn a_folder_of_keys_that_is_not_there_stops_who_serves() {
    let mut terminal = Terminal::new().await;
    let dir = terminal.folder().join("mistyped");
    terminal.set("COUNTERSIGN_KEYS_DIR", dir.to_str().unwrap());
    for process in ["api", "worker", "scheduler"] {
        let ended = terminal.run(&[process]).await;
        assert!(ended.code == Some(1) && ended.err.contains("is no folder"), "{process}: {}", ended.err);
    }
}
