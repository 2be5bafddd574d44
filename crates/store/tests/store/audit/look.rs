//! The log as it is read: filters, search, pages, and who sees what.

use domain::{ActorId, Role};
use serde_json::json;
use store::audit::{self, Entry, Filter};
use store::jobs::PageAsk;
use store::{Actor, StoreError, Tx, Workspaces};

use crate::database::Database;

fn ask(limit: u16, cursor: Option<String>) -> PageAsk {
    PageAsk { cursor, limit }
}

async fn record(database: &Database, actor: &Actor, entry: Entry) {
    let mut tx = Tx::for_actor(&database.store, actor).await.unwrap();
    tx.record(entry).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn entries_are_filtered_searched_and_paged() {
    let database = Database::migrated().await;
    let actor = database.org("acme").await;
    for n in 0..5 {
        let entry = Entry::new("lane.pause", "lane", format!("l{n}")).reason(format!("reason 10{n}%"));
        record(&database, &actor, entry).await;
    }
    record(&database, &actor, Entry::new("limit.set", "limit", "calls").after(json!({ "units": 5 }))).await;
    audit::extend(&database.store, actor.org_id).await.unwrap();
    let mut tx = Tx::for_reader(&database.store, &actor).await.unwrap();
    let count = async |tx: &mut Tx, filter: Filter| {
        audit::list(tx, &filter, &ask(50, None)).await.unwrap().rows.len()
    };
    let with = Filter::default;
    assert_eq!(count(&mut tx, Filter { action: Some("lane.".into()), ..with() }).await, 5);
    assert_eq!(count(&mut tx, Filter { action: Some("lane_".into()), ..with() }).await, 0, "no pattern");
    assert_eq!(count(&mut tx, Filter { subject_id: Some("l3".into()), ..with() }).await, 1);
    assert_eq!(count(&mut tx, Filter { q: Some("REASON 103%".into()), ..with() }).await, 1);
    assert_eq!(count(&mut tx, Filter { q: Some("103_".into()), ..with() }).await, 0, "no pattern");
    assert_eq!(count(&mut tx, Filter { actor: Some(ActorId::new()), ..with() }).await, 0);
    assert_eq!(count(&mut tx, Filter { until: Some(chrono::DateTime::UNIX_EPOCH), ..with() }).await, 0);

    let filter = Filter { action: Some("lane.".into()), ..with() };
    let first = audit::list(&mut tx, &filter, &ask(3, None)).await.unwrap();
    let second = audit::list(&mut tx, &filter, &ask(3, first.next.clone())).await.unwrap();
    let seen: Vec<&str> = first.rows.iter().chain(&second.rows).map(|row| row.subject_id.as_str()).collect();
    assert_eq!(seen, ["l4", "l3", "l2", "l1", "l0"]);
    assert!(first.rows.iter().all(|row| row.seq.is_some() && row.hash.as_ref().unwrap().len() == 32));
    let other = audit::list(&mut tx, &with(), &ask(3, first.next)).await;
    assert!(matches!(other, Err(StoreError::BadCursor)));
    let row = audit::get(&mut tx, first.rows[0].entry_id).await.unwrap();
    assert_eq!(row.parsed()["reason"], "reason 104%");
    assert!(audit::csv_row(&row).contains("reason 104%"));
}

#[tokio::test]
async fn only_those_who_may_read_the_log_do_and_nobody_anothers() {
    let database = Database::migrated().await;
    let (one, two) = (database.org("one").await, database.org("two").await);
    record(&database, &one, Entry::new("lane.pause", "lane", "default")).await;
    let count = async |actor: &Actor| {
        let mut tx = Tx::for_reader(&database.store, actor).await.unwrap();
        audit::list(&mut tx, &Filter::default(), &ask(200, None)).await.unwrap().rows.len()
    };
    assert!(count(&one).await >= 2);
    let mut tx = Tx::for_reader(&database.store, &two).await.unwrap();
    let theirs = Filter { action: Some("lane.".into()), ..Filter::default() };
    assert!(audit::list(&mut tx, &theirs, &ask(200, None)).await.unwrap().rows.is_empty());
    let auditor = Actor::person(one.org_id, ActorId::new(), Role::Auditor, Workspaces::All);
    assert!(count(&auditor).await >= 2);
    let support = Actor::person(one.org_id, ActorId::new(), Role::Support, Workspaces::All);
    assert_eq!(count(&support).await, 0);
}
