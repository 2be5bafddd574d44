//! Jobs that somebody asked for, and ends of jobs that change something, are written down by the ledger.

use domain::{EffectClass, OrgId};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use store::audit;
use uuid::Uuid;

use super::verified;
use crate::database::Database;

async fn as_engine(database: &mut Database, statement: String) {
    let text = format!("SET ROLE countersign_engine; {statement}; RESET ROLE");
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut database.admin).await.unwrap();
}

async fn entries(database: &mut Database, action: &str) -> Vec<Value> {
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT content FROM audit_entry WHERE action = $1 ORDER BY entry_id")
            .bind(action)
            .fetch_all(&mut database.admin)
            .await
            .unwrap();
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// `(kind, actor, parent, claim_no, request)` a row.
fn insert(org: OrgId, rows: &[(&str, Option<Uuid>, bool, i32, &str)]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|(kind, actor, parent, claim, request)| {
            let actor = actor.map_or("NULL".into(), |id| format!("'{id}'"));
            let parent = if *parent { "gen_random_uuid()" } else { "NULL" };
            format!(
                "(gen_random_uuid(), '{org}', now(), now(), 'queued', 0, 1, 1, '{kind}', 'default', '{{}}', \
                 {actor}::uuid, {parent}::uuid, {claim}, '{request}')"
            )
        })
        .collect();
    format!(
        "INSERT INTO job (job_id, org_id, created_at, run_at, state, priority, kind_version, max_attempts, kind, \
         lane, payload, actor_id, parent_job_id, claim_no, request_id) VALUES {}",
        rows.join(", ")
    )
}

#[tokio::test]
async fn an_enqueue_that_somebody_asked_for_is_one_entry() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let (org, who) = (actor.org_id, Some(actor.actor_id.0));
    let rows = [("a.b", who, false, 0, "r1"), ("a.b", who, false, 0, "r1"), ("c.d", who, false, 0, "r1")];
    as_engine(&mut database, insert(org, &rows)).await;
    as_engine(&mut database, insert(org, &[("a.b", who, false, 0, "r2")])).await;
    // Nobody asked, a job's own follow-up, a retry: no entry.
    let rows = [("a.b", None, false, 0, "r3"), ("a.b", who, true, 0, "r3"), ("a.b", who, false, 2, "r3")];
    as_engine(&mut database, insert(org, &rows)).await;

    let made = entries(&mut database, "job.enqueue").await;
    assert_eq!(made.len(), 2, "{made:?}");
    assert_eq!(made[0]["after"]["count"], 3);
    assert_eq!(made[0]["after"]["kinds"], serde_json::json!({ "a.b": 2, "c.d": 1 }));
    assert_eq!(made[0]["after"]["job_ids"].as_array().unwrap().len(), 3);
    assert_eq!((&made[0]["standing"], &made[0]["subject_kind"]), (&"system".into(), &"jobs".into()));
    assert_eq!(made[1]["subject_id"], made[1]["job_id"]);
    assert_eq!(made[1]["request_id"], "r2");
    assert_eq!(made[1]["actor_id"], actor.actor_id.to_string());

    let report = verified(&database.store, org, vec![]).await;
    assert!(report.intact, "{:?}", report.problems);
}

#[tokio::test]
async fn the_end_of_a_job_that_changes_something_is_an_entry() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    let kinds = [("mail.send", EffectClass::Send), ("a.look", EffectClass::Read)];
    audit::declare_kinds(&database.store, &kinds).await.unwrap();
    audit::declare_kinds(&database.store, &kinds).await.unwrap();
    let row = |kind: &str, state: &str| {
        format!(
            "(gen_random_uuid(), '{org}', now(), now(), now(), 1, '{state}', 0, 1, 1, 1, 0, '{kind}', 'default', '{{}}')"
        )
    };
    let rows = [
        row("mail.send", "succeeded"),
        row("mail.send", "succeeded"),
        row("mail.send", "dead"),
        row("a.look", "succeeded"),
    ];
    as_engine(
        &mut database,
        format!(
            "INSERT INTO job_history (job_id, org_id, created_at, run_at, finished_at, claim_no, state, priority, \
             kind_version, attempt, max_attempts, recoveries, kind, lane, payload) VALUES {}",
            rows.join(", ")
        ),
    )
    .await;
    let good = entries(&mut database, "job.succeeded").await;
    assert_eq!(good.len(), 1, "{good:?}");
    assert_eq!((&good[0]["after"]["count"], &good[0]["subject_id"]), (&2.into(), &"mail.send".into()));
    let dead = entries(&mut database, "job.dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["subject_id"], dead[0]["job_id"]);
    let report = verified(&database.store, org, vec![]).await;
    assert!(report.intact && report.links == 2, "{:?}", report.problems);
}

#[tokio::test]
async fn a_large_insert_is_hardly_slower() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    let took = async |database: &mut Database, actor: &str| {
        let mut best = f64::MAX;
        for _ in 0..5 {
            let statement = format!(
                "EXPLAIN (ANALYZE, FORMAT JSON) INSERT INTO job (job_id, org_id, created_at, run_at, state, \
                 priority, kind_version, max_attempts, kind, lane, payload, actor_id, request_id)
                 SELECT gen_random_uuid(), '{org}', now(), now(), 'queued', 0, 1, 1, 'a.b', 'default', \
                 json_build_object('pad', repeat('x', 190)), {actor}, 'r' FROM generate_series(1, 1000)"
            );
            let plan: Value =
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut database.admin).await.unwrap();
            best = best.min(plan[0]["Execution Time"].as_f64().unwrap());
        }
        best
    };
    let (nobody, somebody) =
        (took(&mut database, "NULL").await, took(&mut database, "gen_random_uuid()").await);
    let one = took(&mut database, &format!("'{org}'")).await;
    sqlx::query("ALTER TABLE job DISABLE TRIGGER audit_jobs_made")
        .execute(&mut database.admin)
        .await
        .unwrap();
    let without = took(&mut database, "NULL").await;
    println!(
        "1,000 jobs: {without:.1} ms without the trigger, {nobody:.1} ms asked for by nobody, {one:.1} ms by one, \
         {somebody:.1} ms by a thousand"
    );
    assert!(nobody < without * 3.0 + 10.0, "{nobody} ms with, {without} ms without");
}
