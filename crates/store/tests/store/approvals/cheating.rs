//! SQL of one's own as the app's role, around the functions: refused by grant, policy or trigger.

use serde_json::json;
use sqlx::AssertSqlSafe;
use store::approvals::ask;
use store::{Actor, Tx};

use super::desk::Desk;

/// The code of the refusal; panics when it was let through.
async fn refused(desk: &Desk, actor: &Actor, statement: &str) -> String {
    let mut tx = Tx::for_actor(&desk.store, actor).await.unwrap();
    match sqlx::query(AssertSqlSafe(statement.to_owned())).execute(tx.conn()).await {
        Ok(done) => panic!("let through, {} rows: {statement}", done.rows_affected()),
        Err(error) => error.as_database_error().unwrap().code().unwrap().into_owned(),
    }
}

#[tokio::test]
async fn nothing_of_an_approval_is_changed_by_hand() {
    let desk = Desk::open().await;
    let (asked, job) = desk.asked_by(&desk.manager).await;
    let approval = asked.approval_id;
    for statement in [
        format!("UPDATE approval SET state = 'approved', decided_at = now() WHERE approval_id = '{approval}'"),
        format!("UPDATE approval SET expires_at = now() + interval '1 y' WHERE approval_id = '{approval}'"),
        format!("DELETE FROM approval WHERE approval_id = '{approval}'"),
        "TRUNCATE approval CASCADE".into(),
        "UPDATE approval_decision SET decision = 'approve'".into(),
        "DELETE FROM approval_decision".into(),
        "DELETE FROM approval_editor".into(),
        "DELETE FROM approval_subject".into(),
        "UPDATE approval_subject SET version = 1".into(),
        format!(
            "INSERT INTO approval_release (approval_id, org_id, job_id, kind, kind_version, payload_hash, released_at)
             VALUES ('{approval}', '{}', '{job}', 'payouts.send', 1, sha256('{{\"cents\":100}}'), now())",
            desk.org
        ),
        "DELETE FROM guarded_kind".into(),
        "UPDATE guarded_kind SET always = false".into(),
        "ALTER TABLE job DISABLE TRIGGER job_guard".into(),
        "SET LOCAL session_replication_role = replica".into(),
        "SELECT approval_objection(a, 'approve', now()) FROM approval a".into(),
    ] {
        assert_eq!(refused(&desk, &desk.owner, &statement).await, "42501", "{statement}");
    }
    assert_eq!(desk.state(approval).await, "pending");
}

#[tokio::test]
async fn a_decision_is_made_by_oneself_and_once() {
    let desk = Desk::open().await;
    let (asked, _) = desk.asked_by(&desk.manager).await;
    let vote = |actor: &Actor| {
        format!(
            "INSERT INTO approval_decision (approval_id, actor_id, org_id, decision, content_hash, decided_at)
             VALUES ('{}', '{}', '{}', 'approve', '\\x{}', now())",
            asked.approval_id,
            actor.actor_id,
            desk.org,
            asked.content_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        )
    };
    let as_another = vote(&desk.second_owner);
    assert_eq!(refused(&desk, &desk.owner, &as_another).await, "42501");
    assert_eq!(refused(&desk, &desk.manager, &vote(&desk.manager)).await, "CS001");
    // The platform is nobody either.
    let mut tx = Tx::system(&desk.store, desk.org, "a test").await.unwrap();
    assert!(sqlx::query(AssertSqlSafe(vote(&desk.owner))).execute(tx.conn()).await.is_err());
    // Let through by hand, it still ends with the job or not at all.
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    sqlx::query(AssertSqlSafe(vote(&desk.owner))).execute(tx.conn()).await.unwrap();
    assert!(tx.commit_unrecorded("a test").await.is_err());
    assert_eq!(desk.state(asked.approval_id).await, "pending");
}

#[tokio::test]
async fn a_guarded_job_does_not_enter_by_the_side_door() {
    let desk = Desk::open().await;
    let (_, job) = desk.asked_by(&desk.manager).await;
    let insert = |id: &str, kind: &str| {
        format!(
            "INSERT INTO job (job_id, org_id, created_at, run_at, state, priority, kind_version, max_attempts, kind,
                              lane, payload)
             VALUES ('{id}', '{}', now(), now(), 'queued', 0, 1, 1, '{kind}', 'default', '{{\"cents\":100}}')",
            desk.org
        )
    };
    let other = uuid::Uuid::now_v7().to_string();
    for id in [&job.to_string(), &other] {
        assert_eq!(refused(&desk, &desk.owner, &insert(id, "payouts.send")).await, "CS001");
    }
    let queue = desk.db.queue().await;
    let engine =
        sqlx::query(AssertSqlSafe(insert(&other, "payouts.send"))).execute(queue.pool()).await.unwrap_err();
    assert_eq!(engine.as_database_error().unwrap().code().unwrap(), "CS001", "the engine's role neither");
    // Another kind passes, and does not turn into one afterwards.
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    sqlx::query(AssertSqlSafe(insert(&other, "system.echo"))).execute(tx.conn()).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    let change = "UPDATE job SET kind = 'payouts.send'";
    assert_eq!(refused(&desk, &desk.owner, change).await, "CS001");
    for later in [
        format!(
            "INSERT INTO schedule (schedule_id, org_id, name, kind, payload, expression, zone)
             VALUES (gen_random_uuid(), '{}', 's', 'payouts.send', '{{}}', '0 0 * * *', 'UTC')",
            desk.org
        ),
        format!(
            "INSERT INTO job_batch (batch_id, org_id, name, total, callback)
             VALUES (gen_random_uuid(), '{}', 'b', 1, '{{\"kind\":\"payouts.send\"}}')",
            desk.org
        ),
    ] {
        assert_eq!(refused(&desk, &desk.owner, &later).await, "CS001");
    }
}

#[tokio::test]
async fn what_was_approved_does_not_change_afterwards_and_does_not_come_twice() {
    let desk = Desk::open().await;
    let (asked, job) = desk.asked_by(&desk.manager).await;
    desk.approve(&desk.owner, &asked).await.unwrap();
    for change in ["payload = '{\"cents\":1}'", "kind = 'system.echo'", "kind_version = 2"] {
        let statement = format!("UPDATE job SET {change} WHERE job_id = '{job}'");
        assert_eq!(refused(&desk, &desk.owner, &statement).await, "CS001", "{change}");
    }
    // Taken out and put back with its old release.
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let back = sqlx::query(AssertSqlSafe(format!(
        "WITH gone AS (DELETE FROM job WHERE job_id = '{job}' RETURNING *)
         INSERT INTO job_history (job_id, org_id, created_at, run_at, finished_at, claim_no, state, priority,
                                  kind_version, attempt, max_attempts, recoveries, kind, lane, payload)
         SELECT job_id, org_id, created_at, run_at, now(), 1, 'dead', 0, 1, 1, 1, 0, kind, lane, payload FROM gone"
    )))
    .execute(tx.conn())
    .await
    .unwrap();
    assert_eq!(back.rows_affected(), 1);
    let again = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO job (job_id, org_id, created_at, run_at, state, priority, kind_version, max_attempts, kind, lane,
                          payload)
         SELECT job_id, org_id, created_at, run_at, 'queued', 0, 1, 1, kind, lane, payload FROM job_history
         WHERE job_id = '{job}'"
    )))
    .execute(tx.conn())
    .await
    .unwrap_err();
    assert_eq!(again.as_database_error().unwrap().code().unwrap(), "CS001");
}

#[tokio::test]
async fn an_approval_is_asked_for_in_ones_own_name() {
    let desk = Desk::open().await;
    let request = desk.request(domain::JobId::new(), 100, &json!({}));
    let forged = format!(
        "INSERT INTO approval (approval_id, org_id, workspace_id, subject_kind, subject_id, content, requested_by,
                               maker_may_decide, needed, state, expires_at)
         VALUES (gen_random_uuid(), '{}', '{}', '{}', '{}', '{}', '{}', true, 1, 'approved', now())",
        desk.org,
        desk.room,
        request.subject_kind,
        request.subject_id,
        request.content,
        desk.second_owner.actor_id,
    );
    assert_eq!(refused(&desk, &desk.owner, &forged).await, "42501");
    // What the writer says of rule, state and times is not believed.
    let honest = forged.replace(&desk.second_owner.actor_id.to_string(), &desk.owner.actor_id.to_string());
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    sqlx::query(AssertSqlSafe(honest)).execute(tx.conn()).await.unwrap();
    let (state, maker): (String, bool) =
        sqlx::query_as("SELECT state, maker_may_decide FROM approval").fetch_one(tx.conn()).await.unwrap();
    assert_eq!((state.as_str(), maker), ("pending", false));
    drop(tx);
    // A token without the scope asks for nothing.
    let reader = Actor::token(
        desk.org,
        desk.owner.actor_id,
        domain::Permissions::parse(&["approvals:read", "jobs:write"]).unwrap(),
    );
    let mut tx = Tx::for_actor(&desk.store, &reader).await.unwrap();
    assert!(ask(&mut tx, &request).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarded_job_spoils_nobodys_commit() {
    let desk = Desk::open().await;
    let queue = desk.db.queue().await;
    let tries = (0..200).map(|n| {
        let (queue, org) = (queue.clone(), desk.org);
        let kind = if n % 20 == 7 { "payouts.send" } else { "system.noop" };
        tokio::spawn(async move { (n, queue.enqueue(testkit::job(org, kind, &json!({ "n": n }))).await) })
    });
    for attempt in tries.collect::<Vec<_>>() {
        let (n, outcome) = attempt.await.unwrap();
        match outcome {
            Ok(_) => assert!(n % 20 != 7, "{n}"),
            Err(error) => {
                assert!(n % 20 == 7 && error.to_string().contains("POST /v1/approvals"), "{n}: {error}");
            }
        }
    }
    assert_eq!(desk.count("SELECT count(*) FROM job").await, 190);
}

#[tokio::test]
async fn what_was_approved_for_one_room_enters_no_other() {
    let desk = Desk::open().await;
    let (asked, job) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let yes = store::approvals::Decision::Approve;
    store::approvals::decide(&mut tx, asked.approval_id, yes, asked.content_hash, None).await.unwrap();
    let elsewhere = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO job (job_id, org_id, created_at, run_at, state, priority, kind_version, max_attempts, kind, lane,
                          payload)
         VALUES ('{job}', '{}', now(), now(), 'queued', 0, 1, 3, 'payouts.send', 'default', '{{\"cents\":100}}')",
        desk.org
    )))
    .execute(tx.conn())
    .await
    .unwrap_err();
    assert_eq!(elsewhere.as_database_error().unwrap().code().unwrap(), "CS001");
    drop(tx);
    assert_eq!(desk.approve(&desk.owner, &asked).await, Ok(true));
    let moved = format!("UPDATE job SET workspace_id = NULL WHERE job_id = '{job}'");
    assert_eq!(refused(&desk, &desk.owner, &moved).await, "CS001");
}

#[tokio::test]
async fn nobody_decides_as_another_in_a_session_of_their_own() {
    let desk = Desk::open().await;
    let (asked, _) = desk.asked_by(&desk.owner).await;
    let mut own = desk.owner.session.unwrap();
    own.session_id = domain::SessionId::new();
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    sqlx::query(
        "INSERT INTO session (session_id, org_id, account_id, actor_id, token_hash, created_at, last_seen_at,
                              expires_at)
         VALUES ($1, current_org(), current_account(), $2, sha256('x'), now(), now(), now() + interval '1 day')",
    )
    .bind(own.session_id.0)
    .bind(desk.second_owner.actor_id.0)
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    let disguised = Actor { session: Some(own), ..desk.second_owner.clone() };
    let refused = desk.approve(&disguised, &asked).await.unwrap_err();
    assert!(refused.contains("sign in"), "{refused}");
}

#[tokio::test]
async fn a_token_does_not_lift_its_maker() {
    let desk = Desk::open().await;
    let scopes = domain::Permissions::parse(&["people:write"]).unwrap();
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let made = store::tokens::create(&mut tx, "robot", scopes, None).await.unwrap();
    tx.commit().await.unwrap();
    desk.force("UPDATE member SET role = 'support' WHERE actor_id = $1", desk.owner.actor_id.0).await;
    let robot = Actor::token(desk.org, made.actor_id, scopes);
    let lift = |actor: &Actor| {
        format!(
            "UPDATE member SET role = 'owner', all_workspaces = true WHERE actor_id = '{}'",
            actor.actor_id
        )
    };
    assert_eq!(refused(&desk, &robot, &lift(&desk.owner)).await, "CS001");
    let mut tx = Tx::for_actor(&desk.store, &robot).await.unwrap();
    sqlx::query(AssertSqlSafe(lift(&desk.manager))).execute(tx.conn()).await.unwrap();
}
