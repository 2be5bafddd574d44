//! `admin`: the first owner, made at the machine itself.

use std::process::Stdio;

use secrecy::ExposeSecret;
use testkit::TestDb;
use tokio::io::AsyncWriteExt;

use crate::terminal::{Ended, Terminal};

const PASSWORD: &str = "seven quiet otters rowing";

/// With a database and nothing else: no Redis, no organisation.
async fn terminal() -> Terminal {
    let db = TestDb::new().await;
    let mut terminal = Terminal::bare();
    terminal.set("DATABASE_URL", db.database_url().expose_secret());
    terminal.set("COUNTERSIGN_PUBLIC_URL", "https://app.example.com");
    terminal.db = Some(db);
    terminal
}

const OLGA: [&str; 8] =
    ["admin", "create-owner", "--org", "acme", "--email", "Olga@Acme.example", "--name", "Olga Ortiz"];

async fn with_password(terminal: &Terminal, arguments: &[&str], password: &str) -> Ended {
    let mut command = terminal.command(arguments);
    let mut child = command.arg("--password-stdin").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(password.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_owner_is_made_with_a_password_and_only_once() {
    let terminal = terminal().await;
    for weak in ["short\n", "olga@acme.example!\n", "\n", ""] {
        let refused = with_password(&terminal, &OLGA, weak).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains("the password "), "{refused:?}");
    }
    let made = with_password(&terminal, &OLGA, &format!("{PASSWORD}\n")).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.out.contains("olga@acme.example is an owner now of acme"), "{made:?}");
    assert!(!made.out.contains(PASSWORD) && !made.err.contains(PASSWORD), "{made:?}");
    let again = terminal.json(&OLGA).await;
    assert_eq!((&again["how"], &again["link"]), (&"was_owner".into(), &serde_json::Value::Null));
    let with_another = with_password(&terminal, &OLGA, "another good long password").await;
    assert!(with_another.code == Some(2) && with_another.err.contains("has an account"), "{with_another:?}");
    let list = terminal.json(&["admin", "list", "--org", "acme"]).await;
    assert_eq!(list["people"][0]["role"], "owner");
    assert_eq!(list["people"].as_array().unwrap().len(), 1);
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM account")
        .fetch_one(terminal.db.as_ref().unwrap().superuser())
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_password_there_is_a_link_for_a_day() {
    let terminal = terminal().await;
    let made = terminal.ok(&OLGA).await;
    assert!(made.line().starts_with("https://app.example.com/reset#token="), "{made:?}");
    let made = terminal
        .json(&[
            "admin",
            "create-owner",
            "--org",
            "acme",
            "--org-name",
            "Ignored",
            "--email",
            "second@acme.example",
            "--name",
            "Second",
            "--locale",
            "ne",
        ])
        .await;
    let until: chrono::DateTime<chrono::Utc> = made["link_expires_at"].as_str().unwrap().parse().unwrap();
    let hours = (until - chrono::Utc::now()).num_minutes();
    assert!((23 * 60..=24 * 60).contains(&hours), "{made}");
    let pool = terminal.db.as_ref().unwrap().superuser();
    let token = made["link"].as_str().unwrap().split("#token=").nth(1).unwrap();
    let found: i64 =
        sqlx::query_scalar("SELECT count(*) FROM password_reset WHERE token_hash = sha256($1::bytea)")
            .bind(token.as_bytes())
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(found, 1, "the link is a reset that the database knows by its hash");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry WHERE strpos(content, $1) > 0")
        .bind(token)
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_meant_is_refused() {
    let terminal = terminal().await;
    for (email, says) in [("nobody", "no @"), ("a@b.example,c@d.example", "one mail address"), ("", "empty")]
    {
        let ended =
            terminal.run(&["admin", "create-owner", "--org", "acme", "--email", email, "--name", "X"]).await;
        assert!(ended.code == Some(2) && ended.err.contains(says), "{email}: {ended:?}");
    }
    let ended = terminal.run(&["admin", "create-owner", "--email", "a@b.example", "--name", "X"]).await;
    assert!(ended.err.contains("--org"), "{ended:?}");
    let ended = terminal
        .run(&["admin", "create-owner", "--org", "acme", "--email", "a@b.example", "--name", " "])
        .await;
    assert!(ended.code == Some(2) && ended.err.contains("--name"), "{ended:?}");
    let ended = terminal.run(&["admin", "list", "--org", "nowhere"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("no organisation"), "{ended:?}");
}
