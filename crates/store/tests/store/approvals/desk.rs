//! An organisation with people who are signed in, something to approve, and ways to approve it.

use domain::{AccountId, ActorId, ApprovalId, JobId, OrgId, Role, SessionId, WorkspaceId};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sqlx::postgres::PgPool;
use store::approvals::{Ask, Asked, DecideError, Decision, Released, ask, decide};
use store::{Actor, InSession, Store, Tx, Workspaces, orgs};
use testkit::TestDb;
use uuid::Uuid;

/// The kind that needs an approval in every organisation.
pub(super) const PAYOUT: &str = "payouts.send";

pub(super) struct Desk {
    pub(super) db: TestDb,
    pub(super) store: Store,
    pub(super) org: OrgId,
    pub(super) room: WorkspaceId,
    pub(super) owner: Actor,
    pub(super) second_owner: Actor,
    pub(super) manager: Actor,
}

impl Desk {
    pub(super) async fn open() -> Self {
        let db = TestDb::new().await;
        let store = db.store();
        store::approvals::declare_guarded(&store, &[PAYOUT]).await.unwrap();
        let org = orgs::create(&store, "acme", "Acme").await.unwrap();
        let room = org.workspace_id;
        let org = org.org_id;
        let owner = person(&db, org, Role::Owner, &[]).await;
        let second_owner = person(&db, org, Role::Owner, &[]).await;
        let manager = person(&db, org, Role::Manager, &[room]).await;
        Self { db, store, org, room, owner, second_owner, manager }
    }

    pub(super) fn admin(&self) -> &PgPool {
        self.db.superuser()
    }

    /// Asks for an approval of a payout in the room.
    pub(super) async fn asked_by(&self, actor: &Actor) -> (Asked, JobId) {
        self.asked(actor, json!({})).await
    }

    /// The same with more in the content.
    pub(super) async fn asked(&self, actor: &Actor, more: Value) -> (Asked, JobId) {
        let job_id = JobId::new();
        let request = self.request(job_id, 100, &more);
        let mut tx = Tx::for_actor(&self.store, actor).await.unwrap();
        let asked = ask(&mut tx, &request).await.unwrap();
        tx.commit().await.unwrap();
        (asked, job_id)
    }

    pub(super) fn request(&self, job_id: JobId, cents: i64, more: &Value) -> Ask {
        Ask {
            subject_kind: format!("job:{PAYOUT}"),
            subject_id: job_id.to_string(),
            workspace_id: Some(self.room),
            content: self.content(job_id, cents, more),
        }
    }

    pub(super) fn content(&self, job_id: JobId, cents: i64, more: &Value) -> Box<RawValue> {
        let mut content = json!({
            "summary": format!("pay {cents}"),
            "job": {
                "job_id": job_id, "org_id": self.org, "kind": PAYOUT, "kind_version": 1, "lane": "default",
                "workspace_id": self.room, "max_attempts": 3, "payload": { "cents": cents },
            },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            content[name] = value.clone();
        }
        to_raw_value(&content).unwrap()
    }

    /// Approves and enqueues what that releases, as the API does; answers whether a job came of it.
    pub(super) async fn approve(&self, actor: &Actor, asked: &Asked) -> Result<bool, String> {
        self.approve_slowly(actor, asked, 0, 0).await
    }

    /// The same with pauses in microseconds, before and after the decision.
    pub(super) async fn approve_slowly(
        &self,
        actor: &Actor,
        asked: &Asked,
        before: u64,
        after: u64,
    ) -> Result<bool, String> {
        let mut tx = Tx::for_actor(&self.store, actor).await.map_err(|error| error.to_string())?;
        pause(before).await;
        let decided = decide(&mut tx, asked.approval_id, Decision::Approve, asked.content_hash, None)
            .await
            .map_err(|error| match error {
            DecideError::StepUp(sentence) => format!("step-up: {sentence}"),
            DecideError::NotYours(sentence) => format!("not yours: {sentence}"),
            DecideError::Store(store::StoreError::Refused(sentence)) => sentence,
            other => panic!("{other:?}"),
        })?;
        if let Some(released) = &decided.released {
            enqueue(&mut tx, released).await.map_err(|error| error.to_string())?;
        }
        pause(after).await;
        tx.commit().await.map_err(|error| error.to_string())?;
        Ok(decided.released.is_some())
    }

    pub(super) async fn reject(&self, actor: &Actor, asked: &Asked, why: &str) -> Result<(), DecideError> {
        let mut tx = Tx::for_actor(&self.store, actor).await?;
        decide(&mut tx, asked.approval_id, Decision::Reject, asked.content_hash, Some(why)).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn state(&self, approval: ApprovalId) -> String {
        sqlx::query_scalar("SELECT state FROM approval WHERE approval_id = $1")
            .bind(approval.0)
            .fetch_one(self.admin())
            .await
            .unwrap()
    }

    pub(super) async fn count(&self, what: &'static str) -> i64 {
        sqlx::query_scalar(what)
            .fetch_one(self.admin())
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Runs a statement past every trigger: time travel, for tests only.
    pub(super) async fn force(&self, statement: &'static str, id: Uuid) {
        let mut tx = self.admin().begin().await.unwrap();
        sqlx::query("SET LOCAL session_replication_role = replica").execute(&mut *tx).await.unwrap();
        sqlx::query(statement).bind(id).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What must hold after whatever happened.
    pub(super) async fn check(&self) {
        for (rule, broken) in [
            (
                "a job of the kind without an approval that released it",
                "SELECT count(*) FROM job j WHERE kind = 'payouts.send' AND NOT EXISTS (
                     SELECT FROM approval a WHERE a.released_job_id = j.job_id AND a.state = 'approved'
                       AND (a.content -> 'job' -> 'payload')::text = j.payload::text)",
            ),
            (
                "an approved one without its job",
                "SELECT count(*) FROM approval a WHERE a.state = 'approved'
                   AND NOT EXISTS (SELECT FROM job j WHERE j.job_id = a.released_job_id)",
            ),
            (
                "two released for one subject",
                "SELECT count(*) FROM (SELECT subject_id FROM approval WHERE state = 'approved'
                                       GROUP BY subject_id HAVING count(*) > 1) twice",
            ),
            (
                "approved though the content is another now",
                "SELECT count(*) FROM approval a JOIN approval_subject s USING (org_id, subject_kind, subject_id)
                 WHERE a.state = 'approved' AND a.content_hash <> s.content_hash",
            ),
            (
                "a decision on another content, or past the end",
                "SELECT count(*) FROM approval_decision d JOIN approval a USING (approval_id)
                 WHERE d.content_hash <> a.content_hash OR d.decided_at > a.expires_at",
            ),
            (
                "approved by fewer than the rule says",
                "SELECT count(*) FROM approval a WHERE a.state = 'approved' AND a.needed > (
                     SELECT count(*) FROM approval_decision d
                     WHERE d.approval_id = a.approval_id AND d.decision = 'approve')",
            ),
            (
                "approved by one of its makers",
                "SELECT count(*) FROM approval_decision d JOIN approval a USING (approval_id)
                 WHERE NOT a.maker_may_decide AND (a.requested_by = d.actor_id OR EXISTS (
                     SELECT FROM approval_editor e WHERE e.subject_kind = a.subject_kind
                       AND e.subject_id = a.subject_id AND e.actor_id = d.actor_id AND e.at < d.decided_at))",
            ),
        ] {
            assert_eq!(self.count(broken).await, 0, "{rule}");
        }
    }
}

/// Puts a released job into the ledger, with the columns that matter here.
pub(super) async fn enqueue(tx: &mut Tx, released: &Released) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO job (job_id, org_id, workspace_id, created_at, run_at, queued_at, state, priority, kind_version,
                          max_attempts, kind, lane, payload)
         SELECT (j ->> 'job_id')::uuid, (j ->> 'org_id')::uuid, (j ->> 'workspace_id')::uuid, now(), now(), now(),
                'queued', 0, (j ->> 'kind_version')::int2, (j ->> 'max_attempts')::int2, j ->> 'kind', j ->> 'lane',
                j -> 'payload'
         FROM (SELECT $1::text::json AS j) released",
    )
    .bind(&released.job)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Somebody of the organisation, signed in a moment ago.
pub(super) async fn person(db: &TestDb, org: OrgId, role: Role, rooms: &[WorkspaceId]) -> Actor {
    let (account, actor, session) = (AccountId::new(), ActorId::new(), SessionId::new());
    let mut tx = db.superuser().begin().await.unwrap();
    let email = format!("{}@example.com", account.0.simple());
    for (statement, ids) in [
        ("INSERT INTO account (account_id, email, name) VALUES ($1, $2, $2)", [account.0, account.0]),
        ("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $3, 'person', $2)", [actor.0, org.0]),
    ] {
        let mut query = sqlx::query(statement).bind(ids[0]).bind(&email);
        if ids[1] != ids[0] {
            query = query.bind(ids[1]);
        }
        query.execute(&mut *tx).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO member (org_id, actor_id, account_id, email, role, all_workspaces)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(org.0)
    .bind(actor.0)
    .bind(account.0)
    .bind(&email)
    .bind(role.as_str())
    .bind(role.is_org_wide())
    .execute(&mut *tx)
    .await
    .unwrap();
    for room in rooms {
        sqlx::query("INSERT INTO member_workspace (org_id, actor_id, workspace_id) VALUES ($1, $2, $3)")
            .bind(org.0)
            .bind(actor.0)
            .bind(room.0)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::query(
        "INSERT INTO session (session_id, org_id, account_id, actor_id, token_hash, created_at, last_seen_at,
                              expires_at)
         VALUES ($1, $2, $3, $4, sha256($1::text::bytea), now(), now(), now() + interval '1 day')",
    )
    .bind(session.0)
    .bind(org.0)
    .bind(account.0)
    .bind(actor.0)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let mut somebody = Actor::person(org, actor, role, Workspaces::Only(rooms.into()));
    somebody.session = Some(InSession { account_id: account, session_id: session });
    somebody
}

pub(super) async fn pause(micros: u64) {
    if micros > 0 {
        tokio::time::sleep(std::time::Duration::from_micros(micros)).await;
    }
}
