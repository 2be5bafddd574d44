//! Entries get into the chain: under many writers, after a rollback, after a death.

use std::time::{Duration, Instant};

use domain::OrgId;
use sqlx::AssertSqlSafe;
use store::audit::{self, Entry, Keeper};
use store::{Store, StoreConfig, StoreError, Tx};

use super::{key, kinds, signer, verified, write};
use crate::database::Database;

async fn number(database: &mut Database, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&mut database.admin).await.unwrap()
}

/// Another process' store.
fn store(database: &Database) -> Store {
    let mut config = StoreConfig::new(database.url.clone(), Some("countersign_app"));
    config.acquire_timeout = Duration::from_secs(60);
    Store::connect_with(&config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_writers_make_one_chain() {
    const WRITERS: usize = 200;
    const EACH: usize = 10;
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    let processes = [store(&database), store(&database)];
    let began = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = processes[writer % 2].clone();
            tokio::spawn(async move {
                for entry in 0..EACH {
                    write(&store, org, writer * EACH + entry).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let written = began.elapsed();
    // Nobody sweeps here: the writers' own processes link.
    for _ in 0..500 {
        if number(&mut database, "SELECT count(*) FROM audit_pending").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let linked = began.elapsed();
    let report = verified(&database.store, org, Vec::new()).await;
    assert!(report.intact, "{:?}", report.problems);
    assert_eq!(report.links, (WRITERS * EACH) as u64);
    assert_eq!(number(&mut database, "SELECT count(*) FROM audit_pending").await, 0);
    println!(
        "{} entries by {WRITERS} writers: written in {written:?}, linked after {linked:?} ({:.0}/s)",
        WRITERS * EACH,
        (WRITERS * EACH) as f64 / linked.as_secs_f64()
    );
}

#[tokio::test]
async fn both_sides_count_alike() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    for entry in 0..3 {
        write(&database.store, org, entry).await;
    }
    audit::extend(&database.store, org).await.unwrap();
    let rows: Vec<(i64, Vec<u8>, String)> = sqlx::query_as(
        "SELECT l.seq, l.hash, e.content FROM audit_link l JOIN audit_entry e USING (entry_id) ORDER BY l.seq",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap();
    let mut before = audit::genesis(org);
    for (at, (seq, hash, content)) in rows.iter().enumerate() {
        assert_eq!(*seq, at as i64 + 1);
        before = audit::link(&before, *seq, content);
        assert_eq!(hash, &before);
    }
    assert_eq!(rows.len(), 3);
}

#[tokio::test]
async fn what_is_rolled_back_was_never_written() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    let mut tx = Tx::system(&database.store, org, "test").await.unwrap();
    tx.record(Entry::new("lane.pause", "lane", "default")).await.unwrap();
    drop(tx);
    write(&database.store, org, 1).await;
    let report = verified(&database.store, org, Vec::new()).await;
    assert!(report.intact, "{:?}", report.problems);
    assert_eq!(report.links, 1);
    assert_eq!(number(&mut database, "SELECT count(*) FROM audit_entry").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_is_linked_by_the_sweep() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    let (url, began) = (database.url.clone(), Instant::now());
    // The runtime ends right after the commit, and with it whoever would have linked.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let store = Store::connect(url, Some("countersign_app")).unwrap();
            write(&store, org, 1).await;
        });
    })
    .join()
    .unwrap();
    assert_eq!(number(&mut database, "SELECT count(*) FROM audit_pending").await, 1, "{:?}", began.elapsed());
    assert_eq!(number(&mut database, "SELECT count(*) FROM audit_link").await, 0);
    Keeper::new(database.store.clone(), None).sweep().await.unwrap();
    assert_eq!(number(&mut database, "SELECT count(*) FROM audit_pending").await, 0);
    assert!(verified(&database.store, org, Vec::new()).await.intact);
}

#[tokio::test]
async fn the_keeper_signs_what_grew_and_nothing_twice() {
    let database = Database::migrated().await;
    let (one, two) = (OrgId::new(), OrgId::new());
    write(&database.store, one, 1).await;
    write(&database.store, two, 1).await;
    let keeper = Keeper::new(database.store.clone(), Some(signer(&key(1))));
    keeper.sweep().await.unwrap();
    assert_eq!(keeper.sign().await.unwrap(), 2);
    assert_eq!(keeper.sign().await.unwrap(), 0);
    write(&database.store, two, 2).await;
    keeper.sweep().await.unwrap();
    assert_eq!(keeper.sign().await.unwrap(), 1);
    let report = verified(&database.store, two, Vec::new()).await;
    assert_eq!((report.signed_to, report.checkpoints, kinds(&report)), (2, 2, vec![]));
    assert_eq!(audit::orgs(&database.store).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_change_that_says_nothing_is_refused_and_a_reader_reads() {
    let database = Database::migrated().await;
    let actor = database.org("acme").await;
    let tx = Tx::for_actor(&database.store, &actor).await.unwrap();
    assert!(matches!(tx.commit().await, Err(StoreError::Unrecorded)));
    // Making the organisation and its token left entries.
    assert!(verified(&database.store, actor.org_id, Vec::new()).await.links >= 1);
}

#[tokio::test]
async fn no_role_changes_the_log() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    write(&database.store, org, 1).await;
    audit::checkpoint(&database.store, org, &signer(&key(1))).await.unwrap().unwrap();
    let tables = ["audit_entry", "audit_link", "audit_checkpoint", "audit_head", "audit_pending"];
    for role in ["countersign_app", "countersign_engine", "postgres"] {
        for table in tables {
            let column = if table == "audit_pending" { "entry_id" } else { "org_id" };
            let mut statements = vec![
                format!("UPDATE {table} SET {column} = {column}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
            ];
            if role != "postgres" {
                statements.push(format!("ALTER TABLE {table} DISABLE TRIGGER ALL"));
                statements.push(format!("DROP TABLE {table}"));
            } else if table == "audit_pending" {
                // The one table that is no part of the log.
                statements.retain(|statement| !statement.starts_with("DELETE"));
            }
            for statement in statements {
                // Somebody who says of himself whatever he likes.
                let settings = format!(
                    "SET ROLE {role}; SET countersign.org = '{org}'; SET countersign.role = 'system'; \
                     SET countersign.may = ' audit:read '; SET countersign.workspaces = '*'"
                );
                sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut database.admin).await.unwrap();
                let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut database.admin).await;
                let code = done
                    .as_ref()
                    .err()
                    .and_then(|error| error.as_database_error()?.code().map(|code| code.into_owned()));
                // An empty table has no row whose trigger could refuse an update of rows.
                let nothing = done.as_ref().is_ok_and(|done| done.rows_affected() == 0);
                assert!(
                    code.as_deref() == Some("42501") || (role == "postgres" && nothing),
                    "{role}: {statement}: {done:?}"
                );
                sqlx::query("RESET ROLE").execute(&mut database.admin).await.unwrap();
            }
        }
    }
    let forged = "INSERT INTO audit_link (org_id, seq, entry_id, hash) \
                  SELECT org_id, 2, gen_random_uuid(), hash FROM audit_link";
    for role in ["countersign_app", "countersign_engine"] {
        let role = AssertSqlSafe(format!("SET ROLE {role}"));
        sqlx::query(role).execute(&mut database.admin).await.unwrap();
        assert!(sqlx::query(forged).execute(&mut database.admin).await.is_err());
        sqlx::query("RESET ROLE").execute(&mut database.admin).await.unwrap();
    }
    assert!(verified(&database.store, org, Vec::new()).await.intact);
}

#[tokio::test]
async fn whatever_is_written_is_linked_and_no_note_stops_the_chain() {
    let mut database = Database::migrated().await;
    let org = OrgId::new();
    write(&database.store, org, 1).await;
    audit::checkpoint(&database.store, org, &signer(&key(1))).await.unwrap().unwrap();
    let mut tx = Tx::system(&database.store, org, "test").await.unwrap();
    for forged in [
        "INSERT INTO audit_pending (entry_id, org_id) SELECT entry_id, org_id FROM audit_link",
        "INSERT INTO audit_pending (entry_id, org_id) VALUES (gen_random_uuid(), current_org())",
    ] {
        let mut part = sqlx::Connection::begin(tx.conn()).await.unwrap();
        assert!(sqlx::query(forged).execute(&mut *part).await.is_err(), "{forged}");
    }
    // A checkpoint far ahead would keep the real ones from being signed.
    for seq in ["seq + 1000", "seq"] {
        let hash = if seq == "seq" { "sha256('')" } else { "hash" };
        let forged = format!(
            "INSERT INTO audit_checkpoint (org_id, seq, hash, at, key_id, signature)
             SELECT org_id, {seq}, {hash}, now(), 'k', sha512('') FROM audit_head"
        );
        let mut part = sqlx::Connection::begin(tx.conn()).await.unwrap();
        let error = sqlx::query(AssertSqlSafe(forged)).execute(&mut *part).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{seq}");
    }
    // An entry by hand comes into the chain without being asked; that it is none of ours shows.
    sqlx::query(
        "INSERT INTO audit_entry (entry_id, org_id, at, standing, action, subject_kind, subject_id, content)
         VALUES (gen_random_uuid(), current_org(), now() + interval '1 year', 'system', 'x.y', 'x', 'x', '{}')",
    )
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    audit::extend(&database.store, org).await.unwrap();
    assert_eq!(number(&mut database, "SELECT count(*) FROM audit_link").await, 2);
    assert_eq!(kinds(&verified(&database.store, org, Vec::new()).await), ["content"]);
}

#[tokio::test]
async fn a_chain_that_cannot_go_on_keeps_nobody_else_waiting() {
    let mut database = Database::migrated().await;
    let mut orgs = [OrgId::new(), OrgId::new(), OrgId::new()];
    orgs.sort();
    for org in orgs {
        write(&database.store, org, 1).await;
        audit::extend(&database.store, org).await.unwrap();
    }
    // The first one's end was moved back past the guards: its next link would be a second one of that number.
    let text = format!(
        "BEGIN; SET LOCAL session_replication_role = replica; ALTER TABLE audit_head DISABLE TRIGGER ALL;
         UPDATE audit_head SET seq = 0 WHERE org_id = '{}'; ALTER TABLE audit_head ENABLE TRIGGER ALL;
         COMMIT",
        orgs[0]
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut database.admin).await.unwrap();
    for org in orgs {
        let text = format!(
            "INSERT INTO audit_entry (entry_id, org_id, at, standing, action, subject_kind, subject_id, content)
             VALUES (uuidv7(), '{org}', now(), 'system', 'x.y', 'x', 'x', '{{}}')"
        );
        sqlx::query(AssertSqlSafe(text)).execute(&mut database.admin).await.unwrap();
    }
    let keeper = Keeper::new(database.store.clone(), Some(signer(&key(1))));
    assert!(keeper.sweep().await.is_err(), "it says that something is wrong");
    let linked = format!("SELECT count(*) FROM audit_link WHERE org_id <> '{}'", orgs[0]);
    assert_eq!(
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(linked)).fetch_one(&mut database.admin).await.unwrap(),
        4
    );
    let _ = keeper.sign().await;
    assert_eq!(number(&mut database, "SELECT count(DISTINCT org_id) FROM audit_checkpoint").await, 2);
}

#[tokio::test]
async fn nobody_writes_in_the_name_of_another_or_of_the_platform() {
    let database = Database::migrated().await;
    let actor = database.org("acme").await;
    let write = async |actor_id: &str, standing: &str| {
        let mut tx = Tx::for_actor(&database.store, &actor).await.unwrap();
        let text = format!(
            "INSERT INTO audit_entry (entry_id, org_id, at, actor_id, standing, action, subject_kind, subject_id,
                                      content)
             VALUES (uuidv7(), current_org(), now(), {actor_id}, '{standing}', 'x.y', 'x', 'x', '{{}}')"
        );
        let done = sqlx::query(AssertSqlSafe(text)).execute(tx.conn()).await;
        done.err().map(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
    };
    assert_eq!(write("current_actor()", "token").await, None);
    for (whose, standing) in [
        ("current_actor()", "owner"),
        ("current_actor()", "system"),
        ("NULL", "system"),
        ("NULL", "token"),
        ("gen_random_uuid()", "token"),
    ] {
        assert_eq!(write(whose, standing).await.as_deref(), Some("42501"), "{whose} {standing}");
    }
}
