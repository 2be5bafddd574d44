//! People, invitations, workspaces and tokens over HTTP.

use domain::{InvitationId, JobId, Permissions, Role};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::Tx;
use store::people::invitations;

use crate::app::{App, Reply};
use crate::sign_in::browser::Browser;
use crate::sign_in::people::{PASSWORD, person};

const OWNER: &str = "olga@acme.example";

/// An app with an owner, signed in.
async fn founded(app: &App) -> Browser<'_> {
    person(&app.store, app.org, OWNER, Role::Owner).await;
    Browser::signed_in(app, OWNER).await
}

/// The token of an invitation's mail, minted as its job does.
async fn mailed(app: &App, invitation: &Value) -> String {
    let id = |name: &str| invitation[name].as_str().unwrap().to_owned();
    let job: JobId = id("job_id").parse().unwrap();
    let invitation: InvitationId = id("invitation_id").parse().unwrap();
    let mut tx = Tx::for_job(&app.store, app.org, job, None).await.unwrap();
    let minted = invitations::mint(&mut tx, invitation, job, chrono::Utc::now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    minted.token.expose_secret().to_owned()
}

async fn invite(owner: &mut Browser<'_>, body: &Value) -> Value {
    let reply = owner.post("/v1/invitations", body).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    reply.ok()
}

#[tokio::test]
async fn an_invited_person_comes_in_once_and_is_signed_in() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    let made =
        invite(&mut owner, &json!({ "email": "Ann@Example.com", "role": "support", "locale": "ne" })).await;
    assert_eq!((&made["state"], &made["all_workspaces"]), (&json!("open"), &json!(true)));
    // The mail is a job of whoever asked; no link is anywhere in it.
    let job = owner.get(&format!("/v1/jobs/{}", made["job_id"].as_str().unwrap())).await.ok();
    assert_eq!(job["kind"], "people.send_invitation");
    assert_eq!(job["payload"], json!({ "invitation_id": made["invitation_id"] }));
    let twice = owner.post("/v1/invitations", &json!({ "email": "ann@example.com", "role": "owner" })).await;
    twice.is(409, "conflict");

    let token = mailed(&app, &made).await;
    let mut ann = Browser::new(&app);
    let shown = ann.post("/v1/auth/invitation", &json!({ "token": token })).await.ok();
    assert_eq!((&shown["org_name"], &shown["inviter"]), (&json!("acme"), &json!("Ana Example")));
    assert_eq!((&shown["email"], &shown["has_account"]), (&json!("ann@example.com"), &json!(false)));
    let accept = "/v1/auth/invitation/accept";
    for (name, password, pointer) in [
        (json!("Ann"), json!("short"), "/password"),
        (json!("Ann"), json!("ann@example.com!!"), "/password"),
        (json!("Ann"), Value::Null, "/password"),
        (Value::Null, json!(PASSWORD), "/name"),
        (json!(" "), json!(PASSWORD), "/name"),
        (json!("A\u{0}b"), json!(PASSWORD), "/name"),
        (json!("x".repeat(201)), json!(PASSWORD), "/name"),
    ] {
        let reply = ann.post(accept, &json!({ "token": token, "name": name, "password": password })).await;
        assert_eq!(reply.is(422, "invalid_request"), [pointer]);
    }
    let body = json!({ "token": token, "name": "अन् Ames", "password": PASSWORD });
    let in_ = ann.post(accept, &body).await.ok();
    assert_eq!(in_["me"]["account"]["email"], "ann@example.com", "{in_}");
    ann.get("/v1/me").await.ok();
    let again = Browser::new(&app).post(accept, &body).await;
    again.is(410, "link_refused");
    assert!(again.body["detail"].as_str().unwrap().contains("accepted already"), "{again:?}");
    for nonsense in ["", "x", &"a".repeat(43), &"a".repeat(10_000), "' OR 1=1 --", "\u{0}"] {
        let reply = Browser::new(&app).post("/v1/auth/invitation", &json!({ "token": nonsense })).await;
        assert!(["link_refused", "sign_in_slowed"].contains(&reply.code()), "{reply:?}");
    }
    let accepted = owner.get("/v1/invitations?state=accepted").await.ok();
    assert_eq!(accepted["invitations"].as_array().unwrap().len(), 1);
    // Support sees no people.
    ann.get("/v1/people").await.is(403, "role_insufficient");
}

#[tokio::test]
async fn withdrawn_and_sent_again() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    let made = invite(&mut owner, &json!({ "email": "ann@example.com", "role": "finance" })).await;
    let path = format!("/v1/invitations/{}", made["invitation_id"].as_str().unwrap());
    let token = mailed(&app, &made).await;
    let soon = owner.post(&format!("{path}/resend"), &json!({})).await;
    soon.is(409, "conflict");
    sqlx::query("UPDATE invitation SET asked_at = asked_at - interval '2 minutes'")
        .execute(app.db.superuser())
        .await
        .unwrap();
    let again = owner.post(&format!("{path}/resend"), &json!({})).await.ok();
    assert_ne!(again["job_id"], made["job_id"]);
    let show = |token: String| {
        let app = &app;
        async move { Browser::new(app).post("/v1/auth/invitation", &json!({ "token": token })).await }
    };
    show(token).await.is(410, "link_refused");
    let token = mailed(&app, &again).await;
    show(token.clone()).await.ok();
    for _ in 0..2 {
        assert_eq!(owner.delete(&path, None).await.status, StatusCode::NO_CONTENT);
    }
    let ended = show(token).await;
    ended.is(410, "link_refused");
    assert!(ended.body["detail"].as_str().unwrap().contains("withdrawn"), "{ended:?}");
    owner.post(&format!("{path}/resend"), &json!({})).await.is(409, "conflict");
}

#[tokio::test]
async fn who_has_an_account_accepts_with_its_password_or_session_only() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    let (other, _) = app.other_org("other").await;
    person(&app.store, other, "bea@other.example", Role::Owner).await;
    let made = invite(&mut owner, &json!({ "email": "bea@other.example", "role": "auditor" })).await;
    let token = mailed(&app, &made).await;
    let accept = "/v1/auth/invitation/accept";
    let mut stranger = Browser::new(&app);
    let shown = stranger.post("/v1/auth/invitation", &json!({ "token": token })).await.ok();
    assert_eq!(shown["has_account"], true);
    for password in [json!("a new password of mine"), Value::Null] {
        let body = json!({ "token": token, "name": "Not Bea", "password": password });
        stranger.post(accept, &body).await.is(401, "sign_in_refused");
    }
    // Signed in as somebody else: that is not enough either.
    owner.post(accept, &json!({ "token": token })).await.is(401, "sign_in_refused");
    let mut bea = Browser::signed_in(&app, "bea@other.example").await;
    let in_ = bea.post(accept, &json!({ "token": token })).await.ok();
    assert_eq!(
        (&in_["me"]["account"]["email"], &in_["me"]["org"]["role"]),
        (&json!("bea@other.example"), &json!("auditor"))
    );

    let made = invite(&mut owner, &json!({ "email": "cy@example.com", "role": "auditor" })).await;
    let token = mailed(&app, &made).await;
    person(&app.store, other, "cy@example.com", Role::Support).await;
    let mut cy = Browser::new(&app);
    cy.post(accept, &json!({ "token": token, "password": PASSWORD })).await.ok();
    cy.get("/v1/people").await.ok();
}

#[tokio::test]
async fn roles_rooms_and_access_change_at_once() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    let (_, ann) = person(&app.store, app.org, "ann@example.com", Role::Support).await;
    let mut browser = Browser::signed_in(&app, "ann@example.com").await;
    let path = format!("/v1/people/{ann}");
    let room = owner.post("/v1/workspaces", &json!({ "slug": "madrid", "name": "Madrid" })).await.ok();
    let room = room["workspace_id"].clone();
    owner.post("/v1/workspaces", &json!({ "slug": "madrid", "name": "Again" })).await.is(409, "conflict");
    let renamed =
        owner.patch(&format!("/v1/workspaces/{}", room.as_str().unwrap()), &json!({ "name": "Sol" })).await;
    assert_eq!(renamed.ok()["name"], "Sol");

    let changed = owner.patch(&path, &json!({ "role": "manager", "workspaces": [room] })).await.ok();
    assert_eq!((&changed["role"], &changed["workspaces"]), (&json!("manager"), &json!([room])));
    let seen = browser.get("/v1/workspaces").await.ok();
    assert_eq!(seen["workspaces"].as_array().unwrap().len(), 1, "at once, not when a cache is old: {seen}");
    browser.get("/v1/people").await.ok();
    browser.patch(&path, &json!({ "role": "owner" })).await.is(403, "role_insufficient");
    for (body, pointer) in [
        (json!({ "role": "boss" }), "/role"),
        (json!({ "role": "owner", "workspaces": [room] }), "/workspaces"),
        (json!({ "workspaces": [] }), "/workspaces"),
        (json!({ "workspaces": [uuid::Uuid::now_v7()] }), "/workspaces"),
        (json!({ "workspaces": [room], "all_workspaces": true }), "/workspaces"),
    ] {
        assert_eq!(owner.patch(&path, &body).await.is(422, "invalid_request"), [pointer], "{body}");
    }
    let me = owner.get("/v1/people?role=owner").await.ok();
    let own = format!("/v1/people/{}", me["people"][0]["actor_id"].as_str().unwrap());
    owner.patch(&own, &json!({ "role": "support" })).await.is(409, "conflict");
    owner.post(&format!("{own}/disable"), &json!({})).await.is(409, "conflict");

    let sessions = owner.get(&format!("{path}/sessions")).await.ok();
    assert_eq!(sessions["sessions"][0]["user_agent"], "Testing/1.0", "{sessions}");
    assert_eq!(owner.delete(&format!("{path}/sessions"), None).await.status, StatusCode::NO_CONTENT);
    browser.get("/v1/me").await.is(401, "session_ended");
    let mut browser = Browser::signed_in(&app, "ann@example.com").await;
    let disabled = owner.post(&format!("{path}/disable"), &json!({})).await.ok();
    assert!(disabled["disabled_at"].is_string());
    browser.get("/v1/me").await.is(401, "session_ended");
    Browser::new(&app).sign_in("ann@example.com", PASSWORD).await.is(401, "sign_in_refused");
    let gone = owner.get("/v1/people?disabled=true&q=ANN%40").await.ok();
    assert_eq!(gone["people"].as_array().unwrap().len(), 1);
    owner.post(&format!("{path}/enable"), &json!({})).await.ok();
    Browser::new(&app).sign_in("ann@example.com", PASSWORD).await.ok();
}

#[tokio::test]
async fn nobody_gives_more_than_they_may_do() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    let (_, boss) = person(&app.store, app.org, "boss@example.com", Role::Owner).await;
    let token = app.scoped(&["people:read", "people:write", "tokens:write", "jobs:read"]).await;
    let ask = |method: Method, path: String, body: Value| {
        Reply::of(app.anonymous(method, &path).bearer_auth(&token).json(&body))
    };
    for role in ["owner", "manager", "finance"] {
        let body = json!({ "email": "mallory@example.com", "role": role });
        ask(Method::POST, "/v1/invitations".into(), body).await.is(403, "scope_missing");
    }
    for verb in ["disable", "enable"] {
        ask(Method::POST, format!("/v1/people/{boss}/{verb}"), json!({})).await.is(403, "scope_missing");
    }
    ask(Method::PATCH, format!("/v1/people/{boss}"), json!({ "role": "support" }))
        .await
        .is(403, "scope_missing");
    let more = json!({ "name": "more", "scopes": ["*"] });
    ask(Method::POST, "/v1/tokens".into(), more).await.is(403, "scope_missing");
    let within = json!({ "name": "less", "scopes": ["jobs:read"], "expires_days": 1 });
    let made = ask(Method::POST, "/v1/tokens".into(), within).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.ok();
    let secret = made["token"].as_str().unwrap().to_owned();
    Reply::of(app.anonymous(Method::GET, "/v1/jobs").bearer_auth(&secret)).await.ok();
    let listed = owner.get("/v1/tokens?limit=1").await.ok();
    assert!(!listed.to_string().contains(&secret) && listed["next_cursor"].is_string(), "{listed}");
    let path = format!("/v1/tokens/{}", made["token_id"].as_str().unwrap());
    assert_eq!(owner.delete(&path, None).await.status, StatusCode::NO_CONTENT);
    Reply::of(app.anonymous(Method::GET, "/v1/jobs").bearer_auth(&secret)).await.is(401, "token_refused");
    for (body, pointer) in [
        (json!({ "name": "", "scopes": ["jobs:read"] }), "/name"),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["approvals:decide"] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["jobs:read"], "expires_days": 3651 }), "/expires_days"),
        (json!({ "name": "x", "scopes": ["jobs:read"], "expires_days": 0 }), "/expires_days"),
    ] {
        assert_eq!(owner.post("/v1/tokens", &body).await.is(422, "invalid_request"), [pointer], "{body}");
    }
}

#[tokio::test]
async fn another_organisations_people_are_not_there() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    let made = invite(&mut owner, &json!({ "email": "ann@example.com", "role": "support" })).await;
    let me = owner.get("/v1/people").await.ok();
    let mine = me["people"][0]["actor_id"].as_str().unwrap().to_owned();
    let (other, _) = app.other_org("other").await;
    person(&app.store, other, "bea@other.example", Role::Owner).await;
    let mut bea = Browser::signed_in(&app, "bea@other.example").await;
    let room = owner.get("/v1/workspaces").await.ok()["workspaces"][0]["workspace_id"].clone();
    let invitation = made["invitation_id"].as_str().unwrap();
    for path in [format!("/v1/people/{mine}"), format!("/v1/people/{mine}/sessions")] {
        bea.get(&path).await.is(404, "not_found");
    }
    bea.patch(&format!("/v1/people/{mine}"), &json!({ "role": "support" })).await.is(404, "not_found");
    bea.post(&format!("/v1/people/{mine}/disable"), &json!({})).await.is(404, "not_found");
    bea.delete(&format!("/v1/people/{mine}/sessions"), None).await.is(404, "not_found");
    bea.post(&format!("/v1/invitations/{invitation}/resend"), &json!({})).await.is(404, "not_found");
    bea.delete(&format!("/v1/invitations/{invitation}"), None).await.is(404, "not_found");
    let rename = format!("/v1/workspaces/{}", room.as_str().unwrap());
    bea.patch(&rename, &json!({ "name": "x" })).await.is(404, "not_found");
    let theirs = json!({ "email": "x@example.com", "role": "support", "workspaces": [room] });
    assert_eq!(bea.post("/v1/invitations", &theirs).await.is(422, "invalid_request"), ["/workspaces"]);
    assert_eq!(bea.get("/v1/invitations").await.ok()["invitations"], json!([]));
    assert_eq!(bea.get("/v1/people").await.ok()["people"].as_array().unwrap().len(), 1);
    let token = app.token_of(other, domain::ActorId::new(), Permissions::TOKEN, None).await;
    let tokens = Reply::of(app.anonymous(Method::GET, "/v1/tokens").bearer_auth(token)).await.ok();
    let none_of_ours = app.get("/v1/tokens").await.ok();
    assert_ne!(tokens["tokens"], none_of_ours["tokens"]);
}

#[tokio::test]
async fn bad_input_is_named() {
    let app = App::start().await;
    let mut owner = founded(&app).await;
    for (body, pointer) in [
        (json!({ "email": "no address", "role": "support" }), "/email"),
        (json!({ "email": "a@example.com, b@example.com", "role": "support" }), "/email"),
        (json!({ "email": "a@example.com\r\nBcc: b@example.com", "role": "support" }), "/email"),
        (json!({ "email": "a@example.com", "role": "admin" }), "/role"),
        (json!({ "email": "a@example.com", "role": "support", "locale": "xx" }), "/locale"),
        (json!({ "email": "a@example.com", "role": "support", "workspaces": [] }), "/workspaces"),
    ] {
        assert_eq!(
            owner.post("/v1/invitations", &body).await.is(422, "invalid_request"),
            [pointer],
            "{body}"
        );
    }
    for path in [
        "/v1/people?role='%20OR%201=1",
        "/v1/people?limit=0",
        "/v1/people?limit=201",
        "/v1/people?q=%00",
        "/v1/invitations?state=x",
        "/v1/workspaces?limit=0",
        "/v1/tokens?unknown=1",
    ] {
        owner.get(path).await.is(400, "bad_query");
    }
    owner.get("/v1/people?q=%27%3B%20DROP%20TABLE%20member%3B--").await.ok();
    owner.get("/v1/people?cursor=nonsense").await.is(400, "bad_cursor");
    owner.get("/v1/people/1").await.is(400, "bad_path");
    let bad = [
        json!({ "slug": "Bad Slug", "name": "x" }),
        json!({ "slug": "a\u{0}b", "name": "x" }),
        json!({ "slug": "", "name": "x" }),
    ];
    for body in bad {
        assert_eq!(owner.post("/v1/workspaces", &body).await.is(422, "invalid_request"), ["/slug"], "{body}");
    }
    for name in ["", "  ", "a\u{0}", "a\nb", &"x".repeat(201)] {
        let body = json!({ "slug": "fine", "name": name });
        assert_eq!(owner.post("/v1/workspaces", &body).await.is(422, "invalid_request"), ["/name"], "{body}");
    }
}
