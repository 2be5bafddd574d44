//! A superuser with the triggers switched off changes the log; looking through it finds that.

use domain::OrgId;
use sqlx::AssertSqlSafe;
use store::audit;

use super::{key, kinds, signer, verified, write};
use crate::database::Database;

/// Makes the chain fit again from link 1 on, as somebody would who knows how it is made.
const REHASH: &str =
    "DO $$ DECLARE r record; h bytea := sha256(convert_to('countersign audit {org}', 'UTF8'));
    n bigint := 0;
    BEGIN FOR r IN SELECT l.entry_id, e.content FROM audit_link l JOIN audit_entry e USING (entry_id)
                   WHERE l.org_id = '{org}' ORDER BY l.seq LOOP
        n := n + 1;
        h := sha256(h || int8send(n) || convert_to(r.content, 'UTF8'));
        UPDATE audit_link SET seq = n, hash = h WHERE entry_id = r.entry_id;
    END LOOP;
    UPDATE audit_head SET seq = n, hash = h WHERE org_id = '{org}'; END $$";

/// The entry of a link.
const AT_7: &str = "(SELECT entry_id FROM audit_link WHERE org_id = '{org}' AND seq = 7)";

struct Log {
    database: Database,
    org: OrgId,
    kept: Vec<audit::Checkpoint>,
}

impl Log {
    /// Twenty entries, checkpoints at 10 and 20.
    async fn new() -> Self {
        let database = Database::migrated().await;
        let org = OrgId::new();
        let mut kept = Vec::new();
        for half in 0..2 {
            for entry in 0..10 {
                write(&database.store, org, half * 10 + entry).await;
            }
            kept.extend(audit::checkpoint(&database.store, org, &signer(&key(1))).await.unwrap());
        }
        assert_eq!(kept.iter().map(|one| one.seq).collect::<Vec<_>>(), [10, 20]);
        Self { database, org, kept }
    }

    async fn change(&mut self, statements: &[&str]) {
        let tables = ["audit_entry", "audit_link", "audit_checkpoint", "audit_head", "audit_pending"];
        let mut text = String::from("BEGIN;");
        for table in tables {
            text.push_str(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL;"));
        }
        for statement in statements {
            let statement = statement.replace("{7}", AT_7).replace("{org}", &self.org.to_string());
            text.push_str(&statement);
            text.push(';');
        }
        for table in tables {
            text.push_str(&format!("ALTER TABLE {table} ENABLE TRIGGER ALL;"));
        }
        text.push_str("COMMIT");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.database.admin).await.unwrap();
    }

    async fn found(&self, kept: bool) -> Vec<&'static str> {
        let kept = if kept { self.kept.clone() } else { Vec::new() };
        let report = verified(&self.database.store, self.org, kept).await;
        assert_eq!(report.intact, report.problems.is_empty());
        kinds(&report)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_is_found() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("nothing", &[], &[]),
        (
            "a byte of a content",
            &["UPDATE audit_entry SET content = replace(content, 'because', 'becausf') WHERE entry_id = {7}"],
            &["hash"],
        ),
        ("a column", &["UPDATE audit_entry SET subject_id = 'x' WHERE entry_id = {7}"], &["columns"]),
        ("a time", &["UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE entry_id = {7}"], &["columns"]),
        (
            "a byte of a hash",
            &["UPDATE audit_link SET hash = set_byte(hash, 31, get_byte(hash, 31) # 1)
               WHERE org_id = '{org}' AND seq = 7"],
            &["hash"],
        ),
        ("an entry is deleted", &["DELETE FROM audit_entry WHERE entry_id = {7}"], &["entry_missing"]),
        ("a link is deleted", &["DELETE FROM audit_link WHERE org_id = '{org}' AND seq = 7"], &["gap", "hash"]),
        (
            "both are deleted and the rest renumbered",
            &[
                "CREATE TEMP TABLE victim AS SELECT {7} AS id",
                "DELETE FROM audit_entry WHERE entry_id IN (SELECT id FROM victim)",
                "DELETE FROM audit_link WHERE entry_id IN (SELECT id FROM victim)",
                "UPDATE audit_link SET seq = -seq WHERE org_id = '{org}' AND seq > 7",
            ],
            &["hash"],
        ),
        (
            "two change places",
            &[
                "CREATE TEMP TABLE pair AS SELECT seq, entry_id FROM audit_link WHERE org_id = '{org}' AND seq IN (7, 8)",
                "DELETE FROM audit_link WHERE org_id = '{org}' AND seq IN (7, 8)",
                "INSERT INTO audit_link SELECT '{org}', 15 - p.seq, p.entry_id, sha256('x') FROM pair p",
            ],
            &["hash"],
        ),
        (
            "the end is cut off",
            &["DELETE FROM audit_link WHERE org_id = '{org}' AND seq > 15"],
            &["head", "cut"],
        ),
        (
            "the end is cut off and the head moved back",
            &["DELETE FROM audit_link WHERE org_id = '{org}' AND seq > 15", REHASH],
            &["cut"],
        ),
        (
            "only the head is moved back",
            &["UPDATE audit_head SET seq = 15 WHERE org_id = '{org}'"],
            &["head"],
        ),
        ("the head is deleted", &["DELETE FROM audit_head WHERE org_id = '{org}'"], &["head"]),
        (
            "the whole chain is made anew over a changed entry",
            &[
                "UPDATE audit_entry SET content = replace(content, 'because', 'becausf') WHERE entry_id = {7}",
                REHASH,
            ],
            &["rewritten"],
        ),
        (
            "a checkpoint is made to fit",
            &[
                "UPDATE audit_entry SET content = replace(content, 'because', 'becausf') WHERE entry_id = {7}",
                REHASH,
                "UPDATE audit_checkpoint c SET hash = l.hash FROM audit_link l
                 WHERE l.org_id = c.org_id AND l.seq = c.seq",
            ],
            &["checkpoint_forged"],
        ),
        (
            "a checkpoint of a strange key",
            &["UPDATE audit_checkpoint SET key_id = 'x' WHERE org_id = '{org}' AND seq = 20"],
            &["checkpoint_unknown_key"],
        ),
        (
            "an old entry is added past the program",
            &["INSERT INTO audit_entry (entry_id, org_id, at, standing, action, subject_kind, subject_id, content)
               VALUES (gen_random_uuid(), '{org}', now() - interval '1 day', 'system', 'x', 'x', 'x', '{}')"],
            &["unlinked"],
        ),
        (
            "an entry is deleted before it is linked",
            &["INSERT INTO audit_pending VALUES (gen_random_uuid(), '{org}')"],
            &["pending_without_entry"],
        ),
    ];
    for (what, statements, expected) in table {
        let mut log = Log::new().await;
        // Renumbering passes through negative numbers, which the table refuses.
        if statements.iter().any(|statement| statement.contains("-seq")) {
            log.change(&["ALTER TABLE audit_link DROP CONSTRAINT audit_link_seq_positive"]).await;
        }
        log.change(statements).await;
        if statements.iter().any(|statement| statement.contains("-seq")) {
            log.change(&["UPDATE audit_link SET seq = -seq - 1 WHERE seq < 0"]).await;
            let found = log.found(false).await;
            assert!(found.contains(&"hash") && found.contains(&"head"), "{what}: {found:?}");
            continue;
        }
        let found = log.found(false).await;
        for kind in *expected {
            assert!(found.contains(kind), "{what}: {found:?}");
        }
        assert!(!expected.is_empty() || found.is_empty(), "{what}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_cut_with_its_checkpoints_is_found_by_those_kept_elsewhere() {
    let mut log = Log::new().await;
    log.change(&[
        "DELETE FROM audit_entry e USING audit_link l WHERE l.entry_id = e.entry_id AND l.org_id = '{org}' AND seq > 15",
        "DELETE FROM audit_link WHERE org_id = '{org}' AND seq > 15",
        "DELETE FROM audit_checkpoint WHERE org_id = '{org}' AND seq > 15",
        REHASH,
    ])
    .await;
    assert_eq!(log.found(false).await, Vec::<&str>::new(), "the database alone can't know");
    assert_eq!(log.found(true).await, ["cut"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_is_told_once_and_says_where() {
    let mut log = Log::new().await;
    log.change(&[
        "UPDATE audit_entry SET content = replace(content, 'because', 'becausf') WHERE entry_id = {7}",
    ])
    .await;
    let report = verified(&log.database.store, log.org, Vec::new()).await;
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert_eq!(report.problems[0].seq, Some(7));
    assert!(report.problems[0].entry_id.is_some());
    assert_eq!((report.links, report.signed_to), (20, 20));
}
