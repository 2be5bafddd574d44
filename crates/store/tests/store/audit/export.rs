//! An export proves itself without a database; a changed one doesn't.

use std::io::Cursor;

use domain::OrgId;
use store::audit::{self, Checkpoint, ExportLine, Report};
use store::{Store, Tx};

use super::{key, kinds, signer, write};
use crate::database::Database;

/// As the command line writes it.
async fn exported(store: &Store, org: OrgId) -> String {
    let mut tx = Tx::system(store, org, "test").await.unwrap();
    let range = audit::range(&mut tx, None, None).await.unwrap();
    let mut lines = vec![serde_json::to_string(&range.head(org)).unwrap()];
    let links = audit::linked(&mut tx, range.after_seq, range.to_seq, 1000).await.unwrap();
    let count = links.len() as u64;
    lines.extend(links.into_iter().map(|link| serde_json::to_string(&ExportLine::Link(link)).unwrap()));
    for checkpoint in audit::checkpoints(&mut tx, None, 100).await.unwrap() {
        lines.push(serde_json::to_string(&ExportLine::Checkpoint { checkpoint }).unwrap());
    }
    lines.push(format!(r#"{{"end":{{"links":{count},"checkpoints":1}}}}"#));
    lines.join("\n") + "\n"
}

fn checked(text: &str, kept: Vec<Checkpoint>) -> std::io::Result<Report> {
    let ours = key(1);
    let check = move |id: &str, message: &[u8], signature: &[u8]| {
        (id == ours.id()).then(|| ours.public().verify(message, signature))
    };
    audit::verify_export(Cursor::new(text), kept, Some(&check), &|_, _| {})
}

#[tokio::test]
async fn an_export_verifies_and_a_changed_one_does_not() {
    let database = Database::migrated().await;
    let org = OrgId::new();
    for entry in 0..5 {
        write(&database.store, org, entry).await;
    }
    let kept = audit::checkpoint(&database.store, org, &signer(&key(1))).await.unwrap().unwrap();
    let text = exported(&database.store, org).await;
    let report = checked(&text, Vec::new()).unwrap();
    assert!(report.intact, "{:?}", report.problems);
    assert_eq!((report.links, report.last_seq, report.signed_to), (5, 5, 5));

    let changed = text.replacen("because", "becausf", 1);
    assert_eq!(kinds(&checked(&changed, vec![]).unwrap()), ["hash"]);

    let lines: Vec<&str> = text.lines().collect();
    let without = |at: usize| {
        let mut lines = lines.clone();
        lines.remove(at);
        lines.join("\n")
    };
    assert_eq!(kinds(&checked(&without(3), vec![]).unwrap()), ["gap", "hash", "incomplete"]);
    assert!(kinds(&checked(&without(5), vec![]).unwrap()).contains(&"cut"));
    // The end goes, with everything that speaks of it: a checkpoint kept elsewhere knows.
    let cut = format!(
        "{}\n{}\n{}\n{}\n",
        lines[0].replace("\"to_seq\":5", "\"to_seq\":2"),
        lines[1],
        lines[2],
        r#"{"end":{"links":2,"checkpoints":0}}"#
    );
    assert!(checked(&cut, vec![]).unwrap().intact);
    assert_eq!(kinds(&checked(&cut, vec![kept.clone()]).unwrap()), ["cut"]);

    let other = OrgId::new();
    let renamed = text.replace(&org.to_string(), &other.to_string());
    assert!(!checked(&renamed, vec![kept]).unwrap().intact, "another organisation's name on it");
    assert!(checked("seq,at\n1,2\n", vec![]).unwrap_err().to_string().contains("no audit export"));
    assert!(
        checked(&format!("{}\nnonsense\n", lines[0]), vec![]).unwrap_err().to_string().contains("line 2")
    );
}

#[tokio::test]
async fn a_stretch_of_time_verifies_too() {
    let database = Database::migrated().await;
    let org = OrgId::new();
    for entry in 0..3 {
        write(&database.store, org, entry).await;
    }
    audit::extend(&database.store, org).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let noon = chrono::Utc::now();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    write(&database.store, org, 4).await;
    audit::extend(&database.store, org).await.unwrap();
    let mut tx = Tx::system(&database.store, org, "test").await.unwrap();
    let range = audit::range(&mut tx, Some(noon), None).await.unwrap();
    assert_eq!((range.after_seq, range.to_seq), (3, 4));
    let link = audit::linked(&mut tx, 3, 4, 10).await.unwrap().remove(0);
    let text = format!(
        "{}\n{}\n{}\n",
        serde_json::to_string(&range.head(org)).unwrap(),
        serde_json::to_string(&ExportLine::Link(link)).unwrap(),
        r#"{"end":{"links":1,"checkpoints":0}}"#
    );
    let report = checked(&text, vec![]).unwrap();
    assert!(report.intact && report.links == 1, "{report:?}");
}
