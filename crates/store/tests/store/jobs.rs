//! Lists, search, details and counts over a small made-up ledger.

use chrono::{DateTime, Duration, Utc};
use domain::{BatchId, JobId, JobState};
use sqlx::PgConnection;
use store::jobs::{self, DeadFilter, Filter, Page, PageAsk};
use store::{Actor, StoreError, Tx};
use uuid::Uuid;

use crate::database::Database;

/// Puts one job into the ledger as the engine would.
struct Made<'a> {
    org: Uuid,
    id: Uuid,
    state: JobState,
    kind: &'a str,
    payload: &'a str,
}

impl Made<'_> {
    async fn insert(&self, conn: &mut PgConnection) {
        let table = if self.state.is_final() { "job_history" } else { "job" };
        let finished =
            if self.state.is_final() { "finished_at, claim_no, recoveries, attempt, " } else { "" };
        let finished_values = if self.state.is_final() { "now(), 1, 0, 1, " } else { "" };
        let text = format!(
            "INSERT INTO {table} ({finished}job_id, org_id, created_at, run_at, queued_at, started_at, state, priority,
                                  kind_version, max_attempts, kind, lane, payload)
             VALUES ({finished_values}$1, $2, now(), now(), now(), now(), $3::job_state, 0, 1, 8, $4, 'default', $5::json)"
        );
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(self.id)
            .bind(self.org)
            .bind(self.state.as_str())
            .bind(self.kind)
            .bind(self.payload)
            .execute(conn)
            .await
            .unwrap();
    }
}

fn ask(limit: u16, cursor: Option<String>) -> PageAsk {
    PageAsk { cursor, limit }
}

async fn reader(database: &Database, actor: &Actor) -> Tx {
    Tx::for_reader(&database.store, actor).await.unwrap()
}

fn ids(page: &Page<jobs::JobRow>) -> Vec<Uuid> {
    page.rows.iter().map(|row| row.job_id).collect()
}

/// `count` jobs, newest last, states going round.
async fn ledger(database: &mut Database, actor: &Actor, count: usize) -> Vec<Uuid> {
    let mut made = Vec::new();
    for position in 0..count {
        let id = Uuid::now_v7();
        let payload = format!(r#"{{"n":{position},"note":"100%_{position}"}}"#);
        let kind = if position % 2 == 0 { "system.echo" } else { "webhooks.deliver" };
        let state = JobState::ALL[position % 8];
        Made { org: actor.org_id.0, id, state, kind, payload: &payload }.insert(&mut database.admin).await;
        made.push(id);
    }
    made
}

#[tokio::test]
async fn pages_cover_both_tables_in_order_without_gaps_or_repeats() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let other = database.org("other").await;
    let mut made = ledger(&mut database, &actor, 40).await;
    ledger(&mut database, &other, 8).await;
    made.reverse();

    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let mut tx = reader(&database, &actor).await;
        let page = jobs::list(&mut tx, &Filter::default(), &ask(7, cursor)).await.unwrap();
        seen.extend(ids(&page));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn filters_narrow_and_cursors_belong_to_their_filter() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let made = ledger(&mut database, &actor, 40).await;
    let mut tx = reader(&database, &actor).await;

    let echo = Filter { kind: Some("system.echo".into()), ..Filter::default() };
    let page = jobs::list(&mut tx, &echo, &ask(5, None)).await.unwrap();
    assert_eq!(ids(&page), [made[38], made[36], made[34], made[32], made[30]]);
    let wrong = jobs::list(&mut tx, &Filter::default(), &ask(5, page.next)).await;
    assert!(matches!(wrong, Err(StoreError::BadCursor)));

    let dead = Filter { states: vec![JobState::Dead, JobState::Parked], ..Filter::default() };
    let page = jobs::list(&mut tx, &dead, &ask(200, None)).await.unwrap();
    assert_eq!(page.rows.len(), 10);
    assert!(page.next.is_none() && page.searched_back_to.is_none());

    let nothing = Filter {
        lane: Some("bulk".into()),
        batch: Some(BatchId::new()),
        error_code: Some("x".into()),
        ..Filter::default()
    };
    assert!(jobs::list(&mut tx, &nothing, &ask(10, None)).await.unwrap().rows.is_empty());
    let workspace = Filter { workspace: Some(domain::WorkspaceId::new()), ..Filter::default() };
    assert!(jobs::list(&mut tx, &workspace, &ask(10, None)).await.unwrap().rows.is_empty());

    let impossible =
        Filter { states: vec![JobState::Running], error_code: Some("timeout".into()), ..Filter::default() };
    assert!(jobs::list(&mut tx, &impossible, &ask(10, None)).await.unwrap().rows.is_empty());
    let found = jobs::search(&mut tx, &impossible, "note", &ask(10, None), &|_| true).await.unwrap();
    assert!(found.rows.is_empty() && found.next.is_none());

    let future = Filter { created_from: Some(Utc::now() + Duration::hours(1)), ..Filter::default() };
    assert!(jobs::list(&mut tx, &future, &ask(10, None)).await.unwrap().rows.is_empty());
    let past = Filter { created_to: Some(Utc::now() + Duration::hours(1)), ..Filter::default() };
    assert_eq!(jobs::list(&mut tx, &past, &ask(10, None)).await.unwrap().rows.len(), 10);

    for limit in [0, 201] {
        let refused = jobs::list(&mut tx, &Filter::default(), &ask(limit, None)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "limit", .. })));
    }
}

#[tokio::test]
async fn keys_are_found_whatever_their_kind() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let made = ledger(&mut database, &actor, 8).await;
    for (position, kind) in [(0, "system.echo"), (1, "webhooks.deliver")] {
        sqlx::query("INSERT INTO job_key (org_id, kind, key, job_id, payload_hash) VALUES ($1, $2, 'order-42', $3, '')")
            .bind(actor.org_id.0)
            .bind(kind)
            .bind(made[position])
            .execute(&mut database.admin)
            .await
            .unwrap();
    }
    let mut tx = reader(&database, &actor).await;
    let filter = Filter { idempotency_key: Some("order-42".into()), ..Filter::default() };
    assert_eq!(ids(&jobs::list(&mut tx, &filter, &ask(10, None)).await.unwrap()), [made[1], made[0]]);
    let found =
        jobs::search(&mut tx, &Filter::default(), "order-42", &ask(10, None), &|_| true).await.unwrap();
    assert_eq!(ids(&found), [made[1], made[0]]);
    let none = Filter { idempotency_key: Some("order-4".into()), ..Filter::default() };
    assert!(jobs::list(&mut tx, &none, &ask(10, None)).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn search_takes_text_literally_and_shows_only_what_may_be_seen() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let made = ledger(&mut database, &actor, 16).await;
    let mut tx = reader(&database, &actor).await;
    let mut find = async |q: &str| {
        ids(&jobs::search(&mut tx, &Filter::default(), q, &ask(50, None), &|_| true).await.unwrap())
    };
    assert_eq!(find("100%_3").await, [made[3]], "percent and underscore are no wildcards");
    assert!(find("100__3").await.is_empty());
    assert!(find("'; DROP TABLE job; --").await.is_empty());
    assert_eq!(find("WEBHOOKS.deliver").await.len(), 8);
    assert_eq!(find(&made[5].to_string()).await, [made[5]]);

    let hidden = jobs::search(&mut tx, &Filter::default(), "100%", &ask(50, None), &|candidate| {
        candidate.payload.contains("_7")
    })
    .await
    .unwrap();
    assert_eq!(ids(&hidden), [made[7]]);
    for q in ["", &"x".repeat(201), "a\0"] {
        let refused = jobs::search(&mut tx, &Filter::default(), q, &ask(50, None), &|_| true).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "q", .. })));
    }
}

#[tokio::test]
async fn a_search_stops_at_its_budget_says_so_and_goes_on() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let oldest = Uuid::now_v7();
    Made { org: actor.org_id.0, id: oldest, state: JobState::Succeeded, kind: "a.needle", payload: "{}" }
        .insert(&mut database.admin)
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let base = store::first_id_at(Utc::now()).as_u128();
    // Version and variant bits stay as they are for 25,000 consecutive ids.
    sqlx::query(
        "INSERT INTO job_history (job_id, org_id, created_at, run_at, finished_at, claim_no, state, priority, kind_version,
                                  attempt, max_attempts, recoveries, kind, lane, payload)
         SELECT (left($1, 24) || lpad(to_hex(n), 8, '0'))::uuid, $2, now(), now(), now(), 1, 'succeeded', 0, 1, 1, 1, 0,
                'a.hay', 'bulk', '{}' FROM generate_series(1, 25000) n",
    )
    .bind(Uuid::from_u128(base).simple().to_string())
    .bind(actor.org_id.0)
    .execute(&mut database.admin)
    .await
    .unwrap();

    let mut tx = reader(&database, &actor).await;
    let first = jobs::search(&mut tx, &Filter::default(), "needle", &ask(10, None), &|_| true).await.unwrap();
    assert!(first.rows.is_empty() && first.searched_back_to.is_some() && first.next.is_some());
    let second =
        jobs::search(&mut tx, &Filter::default(), "needle", &ask(10, first.next), &|_| true).await.unwrap();
    assert_eq!(ids(&second), [oldest]);
    assert!(second.next.is_none() && second.searched_back_to.is_none());
}

#[tokio::test]
async fn a_job_tells_its_story() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let other = database.org("other").await;
    let (id, child, batch) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let org = actor.org_id.0;
    Made { org, id, state: JobState::Queued, kind: "a.parent", payload: r#"{"z":1, "a":2}"# }
        .insert(&mut database.admin)
        .await;
    Made { org, id: child, state: JobState::Succeeded, kind: "a.child", payload: "{}" }
        .insert(&mut database.admin)
        .await;
    for statement in [
        "UPDATE job_history SET parent_job_id = $1 WHERE job_id = $4::uuid AND $2::uuid IS NOT NULL AND $3::uuid IS NOT NULL",
        "UPDATE job SET batch_id = $2, successors = json_build_array(json_build_object('job_id', $4::text)) WHERE job_id = $1 AND $3::uuid IS NOT NULL",
        "INSERT INTO job_batch (batch_id, org_id, name, total) SELECT $2, $3, 'b', 3 WHERE $1::uuid IS NOT NULL AND $4::text IS NOT NULL",
        "INSERT INTO job_wait (job_id, org_id, lane, what, key, detail) SELECT $1, $3, 'default', 'lane', 'default', '{}' WHERE $2::uuid IS NOT NULL AND $4::text IS NOT NULL",
        "INSERT INTO lane_org (org_id, lane, mode) SELECT $3, 'default', 'paused' WHERE $1::uuid IS NOT NULL AND $2::uuid IS NOT NULL AND $4::text IS NOT NULL",
        "INSERT INTO job_attempt (job_id, claim_no, org_id, attempt, finished_at, outcome, error_code) SELECT $1, 1, $3, 1, now(), 'retry', 'timeout' WHERE $2::uuid IS NOT NULL AND $4::text IS NOT NULL",
        "INSERT INTO job_event (job_id, org_id, what) SELECT $1, $3, 'retried' WHERE $2::uuid IS NOT NULL AND $4::text IS NOT NULL",
    ] {
        sqlx::query(statement)
            .bind(id)
            .bind(batch)
            .bind(org)
            .bind(child.to_string())
            .execute(&mut database.admin)
            .await
            .unwrap();
    }

    let mut tx = reader(&database, &actor).await;
    let detail = jobs::detail(&mut tx, JobId(id)).await.unwrap();
    assert_eq!(detail.payload, r#"{"z":1, "a":2}"#, "the text is kept as it came");
    assert_eq!(detail.job.state.0, JobState::Queued);
    assert_eq!((detail.job.wait_what.as_deref(), detail.wait_detail.as_deref()), (Some("lane"), Some("{}")));
    assert_eq!((detail.lane_modes.platform.as_str(), detail.lane_modes.org.as_str()), ("open", "paused"));
    assert_eq!((detail.attempts.len(), detail.events.len()), (1, 1));
    assert_eq!(detail.batch.unwrap().total, 3);
    assert_eq!(detail.children.iter().map(|child| child.job_id).collect::<Vec<_>>(), [child]);

    let ended = jobs::detail(&mut tx, JobId(child)).await.unwrap();
    assert!(ended.job.finished_at.is_some() && ended.children.is_empty());
    let mut tx = reader(&database, &other).await;
    assert!(matches!(jobs::detail(&mut tx, JobId(id)).await, Err(StoreError::NotFound("job"))));
}

#[tokio::test]
async fn children_are_found_by_their_parent() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let (parent, child) = (Uuid::now_v7(), Uuid::now_v7());
    Made { org: actor.org_id.0, id: parent, state: JobState::Succeeded, kind: "a.parent", payload: "{}" }
        .insert(&mut database.admin)
        .await;
    Made { org: actor.org_id.0, id: child, state: JobState::Queued, kind: "a.child", payload: "{}" }
        .insert(&mut database.admin)
        .await;
    sqlx::query("UPDATE job SET parent_job_id = $1 WHERE job_id = $2")
        .bind(parent)
        .bind(child)
        .execute(&mut database.admin)
        .await
        .unwrap();
    let mut tx = reader(&database, &actor).await;
    let detail = jobs::detail(&mut tx, JobId(parent)).await.unwrap();
    assert_eq!(detail.children.len(), 1);
    assert_eq!(detail.children[0].state.0, JobState::Queued);
}

#[tokio::test]
async fn dead_letters_are_those_nobody_set_aside() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let mut made = Vec::new();
    for code in ["timeout", "timeout", "gone"] {
        let id = Uuid::now_v7();
        Made { org: actor.org_id.0, id, state: JobState::Dead, kind: "a.b", payload: "{}" }
            .insert(&mut database.admin)
            .await;
        sqlx::query("UPDATE job_history SET error_code = $1 WHERE job_id = $2")
            .bind(code)
            .bind(id)
            .execute(&mut database.admin)
            .await
            .unwrap();
        made.push(id);
    }
    let mut tx = reader(&database, &actor).await;
    let timeouts =
        DeadFilter { kind: Some("a.b".into()), error_code: Some("timeout".into()), ..DeadFilter::default() };
    let page = jobs::dead(&mut tx, &timeouts, &ask(1, None)).await.unwrap();
    assert_eq!(ids(&page), [made[1]]);
    let rest = jobs::dead(&mut tx, &timeouts, &ask(1, page.next)).await.unwrap();
    assert_eq!(ids(&rest), [made[0]]);
    drop(tx);

    sqlx::query("UPDATE job_history SET discarded_at = now() WHERE job_id = $1")
        .bind(made[2])
        .execute(&mut database.admin)
        .await
        .unwrap();
    let mut tx = reader(&database, &actor).await;
    let range = DeadFilter {
        from: Some(DateTime::UNIX_EPOCH),
        until: Some(Utc::now() + Duration::hours(1)),
        lane: Some("default".into()),
        ..DeadFilter::default()
    };
    assert_eq!(ids(&jobs::dead(&mut tx, &range, &ask(10, None)).await.unwrap()), [made[1], made[0]]);
}

#[tokio::test]
async fn counts_tell_open_from_ended() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    ledger(&mut database, &actor, 16).await;
    let mut tx = reader(&database, &actor).await;
    let stats = jobs::stats(&mut tx, Utc::now() - Duration::hours(1)).await.unwrap();
    assert_eq!(stats.live.iter().map(|row| row.count).sum::<i64>(), 8);
    assert_eq!(stats.finished.iter().map(|row| row.count).sum::<i64>(), 8);
    assert!(stats.finished.iter().all(|row| row.run_p95_s.is_some() && row.wait_p50_s.is_some()));
    assert!(!stats.partial);
    let later = jobs::stats(&mut tx, Utc::now() + Duration::hours(1)).await.unwrap();
    assert!(later.finished.is_empty());
}
