//! The permission table against raw SQL: every table of organisations × everybody there is × every command ×
//! every place a row can be, as the app's own role. What should happen follows from one line a table
//! ([`rules::RULES`]) and from `domain::permission`; a new table fails until it has its line.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use domain::{ActorId, OrgId, Permissions, Role, WorkspaceId};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use store::{Actor, Tx, Workspaces, orgs};
use uuid::Uuid;

use crate::database::Database;
use rules::{Bound, Needs, RULES, Rule};

/// Where a row is, seen by somebody of the first organisation who is bound to its first room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In the room they work in.
    OwnRoom,
    /// In another room of their organisation.
    OtherRoom,
    /// In their room, private to them.
    Mine,
    /// In their room, private to somebody else.
    Theirs,
    /// In another organisation.
    OtherOrg,
}

impl Place {
    const ALL: [Self; 5] = [Self::OwnRoom, Self::OtherRoom, Self::Mine, Self::Theirs, Self::OtherOrg];

    /// Whether rows of a table can be there.
    fn fits(self, bound: Bound) -> bool {
        match self {
            Self::OwnRoom | Self::OtherOrg => true,
            Self::OtherRoom => bound != Bound::Org,
            Self::Mine | Self::Theirs => matches!(bound, Bound::Private | Bound::Job),
        }
    }

    /// Whether somebody sees what is there.
    fn is_seen_by(self, actor: &Actor) -> bool {
        match self {
            Self::OwnRoom | Self::Mine => true,
            Self::OtherRoom => actor.workspaces == Workspaces::All,
            Self::Theirs | Self::OtherOrg => false,
        }
    }
}

impl Needs {
    fn are_met_by(self, actor: &Actor) -> bool {
        match self {
            Self::Nothing => true,
            Self::May(permission) | Self::Guarded(permission) => actor.permissions.has(permission),
            Self::Any(permissions) => permissions.iter().any(|permission| actor.permissions.has(*permission)),
            Self::Change => actor.permissions.iter().any(|permission| !permission.only_reads()),
            Self::Refused => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Select,
    Insert,
    Update,
    Delete,
}

impl Command {
    const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// Whether the row should be touched.
    fn succeeds(self, rule: &Rule, actor: &Actor, place: Place) -> bool {
        let seen = rule.select.are_met_by(actor) && place.is_seen_by(actor);
        match self {
            Self::Select => seen,
            Self::Update => seen && rule.update.1.are_met_by(actor),
            Self::Delete => seen && rule.delete.are_met_by(actor),
            // What hangs on a job is written without looking at the job; the log wherever somebody did something.
            Self::Insert if matches!(rule.bound, Bound::Job | Bound::Log) => {
                rule.insert.are_met_by(actor) && place != Place::OtherOrg
            }
            Self::Insert => rule.insert.are_met_by(actor) && place.is_seen_by(actor),
        }
    }

    fn is_guarded(self, rule: &Rule) -> bool {
        let needs = match self {
            Self::Select => rule.select,
            Self::Insert => rule.insert,
            Self::Update => rule.update.1,
            Self::Delete => rule.delete,
        };
        matches!(needs, Needs::Guarded(_))
    }

    fn statement(self, rule: &Rule) -> String {
        let Rule { table, key, .. } = rule;
        match self {
            Self::Select => format!("SELECT 1 FROM {table} WHERE ({key})::text = $1"),
            Self::Update => format!("UPDATE {table} SET {0} = {0} WHERE ({key})::text = $1", rule.update.0),
            Self::Delete => format!("DELETE FROM {table} WHERE ({key})::text = $1"),
            Self::Insert => rule.new_row(),
        }
    }
}

impl Rule {
    fn new_row(&self) -> String {
        let (columns, values) = self.row;
        format!(
            "WITH p AS (SELECT $1::uuid AS org, $2::uuid AS room, $3::uuid AS private_to, $4::uuid AS me,
                               $5::uuid AS actor, $6::uuid AS account, $7::uuid AS member, $8::uuid AS job,
                               $9::uuid AS fresh, $10::int AS n)
             INSERT INTO {} ({columns}) SELECT {values} FROM p",
            self.table
        )
    }
}

/// What a new row is made of.
#[derive(Clone, Copy)]
struct Parts {
    org: OrgId,
    room: WorkspaceId,
    private_to: Option<ActorId>,
    me: ActorId,
    /// An actor and an account that belong to nobody yet.
    actor: Uuid,
    account: Uuid,
    /// Somebody who belongs to the organisation.
    member: Uuid,
    job: Uuid,
    /// Different for each.
    n: i32,
}

/// Everything the matrix acts upon.
struct World {
    database: Database,
    parts: BTreeMap<Place, Parts>,
    spare: BTreeMap<Place, Parts>,
    me: ActorId,
    org: OrgId,
    room: WorkspaceId,
}

impl World {
    async fn made() -> Self {
        let mut database = Database::migrated().await;
        let own = orgs::create(&database.store, "own", "Own").await.unwrap();
        let abroad = orgs::create(&database.store, "abroad", "Abroad").await.unwrap();
        let other_room = WorkspaceId::new();
        sqlx::query(
            "INSERT INTO workspace (workspace_id, org_id, slug, name) VALUES ($1, $2, 'other', 'Other')",
        )
        .bind(other_room.0)
        .bind(own.org_id.0)
        .execute(&mut database.admin)
        .await
        .unwrap();
        let me = ActorId(actor(&mut database.admin, own.org_id).await);
        let somebody = ActorId(actor(&mut database.admin, own.org_id).await);
        let (mut parts, mut spare) = (BTreeMap::new(), BTreeMap::new());
        for (n, place) in (1..).zip(Place::ALL) {
            let (org, room, private_to) = match place {
                Place::OwnRoom => (own.org_id, own.workspace_id, None),
                Place::OtherRoom => (own.org_id, other_room, None),
                Place::Mine => (own.org_id, own.workspace_id, Some(me)),
                Place::Theirs => (own.org_id, own.workspace_id, Some(somebody)),
                Place::OtherOrg => (abroad.org_id, abroad.workspace_id, None),
            };
            for (rows, n) in [(&mut parts, n), (&mut spare, 9)] {
                let admin = &mut database.admin;
                let part = Parts {
                    org,
                    room,
                    private_to,
                    me,
                    actor: actor(admin, org).await,
                    account: account(admin).await,
                    member: member(admin, org).await,
                    job: Uuid::now_v7(),
                    n,
                };
                rows.insert(place, part);
            }
        }
        // Making them was written down; the end of each chain is one of the rows to look at.
        let chained = "SELECT count(*) = 2 FROM audit_head";
        while !sqlx::query_scalar::<_, bool>(chained).fetch_one(&mut database.admin).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What is to be looked at is put there past every rule of the tables.
        sqlx::query("SET session_replication_role = replica").execute(&mut database.admin).await.unwrap();
        Self { database, parts, spare, me, org: own.org_id, room: own.workspace_id }
    }

    /// The row of a table at a place, found or made; as its key.
    async fn row(&mut self, rule: &Rule, place: Place) -> String {
        let parts = self.parts[&place];
        let admin = &mut self.database.admin;
        if let Some(found) = rule.existing {
            let statement = format!(
                "WITH p AS (SELECT $1::uuid AS org, $2::uuid AS room)
                 SELECT ({})::text FROM {}, p WHERE {found}",
                rule.key, rule.table
            );
            let query = sqlx::query_scalar(AssertSqlSafe(statement)).bind(parts.org.0).bind(parts.room.0);
            return query.fetch_one(admin).await.unwrap_or_else(|error| panic!("{}: {error}", rule.table));
        }
        let fresh = if rule.table == "job" { parts.job } else { Uuid::now_v7() };
        let statement = format!("{} RETURNING ({})::text", rule.new_row(), rule.key);
        let made = bound(sqlx::query(AssertSqlSafe(statement)), parts, fresh).fetch_one(admin).await;
        made.unwrap_or_else(|error| panic!("{}: {error}", rule.table)).get(0)
    }

    /// Everybody: each role bound to the first room where it can be, and two tokens.
    fn everybody(&self) -> Vec<(String, Actor)> {
        let rooms = Workspaces::Only([self.room].into());
        let mut all: Vec<(String, Actor)> = Role::ALL
            .iter()
            .map(|role| (role.to_string(), Actor::person(self.org, self.me, *role, rooms.clone())))
            .collect();
        for (name, words) in [("a token of everything", "*"), ("a token that reads jobs", "jobs:read")] {
            let permissions = Permissions::parse(&[words]).unwrap();
            all.push((name.to_owned(), Actor::token(self.org, self.me, permissions)));
        }
        all
    }

    /// How many rows a command touches; none: it was refused.
    async fn touched(
        &self,
        actor: &Actor,
        rule: &Rule,
        command: Command,
        place: Place,
        key: &str,
    ) -> Option<u64> {
        let mut tx = Tx::for_actor(&self.database.store, actor).await.unwrap();
        let statement = AssertSqlSafe(command.statement(rule));
        let query = match command {
            Command::Insert => {
                let parts = self.spare[&place];
                bound(sqlx::query(statement), parts, Uuid::now_v7())
            }
            Command::Select | Command::Update | Command::Delete => sqlx::query(statement).bind(key),
        };
        match query.execute(tx.conn()).await {
            Ok(done) => Some(done.rows_affected()),
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                // Not granted or not visible; or one of our own triggers said no.
                assert!(code == "42501" || code == "CS001", "{} {command:?}: {error}", rule.table);
                None
            }
        }
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound(query: Query<'_>, parts: Parts, fresh: Uuid) -> Query<'_> {
    query
        .bind(parts.org.0)
        .bind(parts.room.0)
        .bind(parts.private_to.map(|actor| actor.0))
        .bind(parts.me.0)
        .bind(parts.actor)
        .bind(parts.account)
        .bind(parts.member)
        .bind(parts.job)
        .bind(fresh)
        .bind(parts.n)
}

async fn actor(admin: &mut PgConnection, org: OrgId) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO actor (actor_id, org_id, kind, name) VALUES (gen_random_uuid(), $1, 'person', 'Somebody')
         RETURNING actor_id",
    )
    .bind(org.0)
    .fetch_one(admin)
    .await
    .unwrap()
}

async fn account(admin: &mut PgConnection) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO account (account_id, email, name)
         SELECT id, id || '@people.test', 'Somebody' FROM gen_random_uuid() AS id RETURNING account_id",
    )
    .fetch_one(admin)
    .await
    .unwrap()
}

async fn member(admin: &mut PgConnection, org: OrgId) -> Uuid {
    let (actor, account) = (actor(admin, org).await, account(admin).await);
    sqlx::query(
        "INSERT INTO member (org_id, actor_id, account_id, email, role)
         VALUES ($1, $2, $3, 'somebody@people.test', 'support')",
    )
    .bind(org.0)
    .bind(actor)
    .bind(account)
    .execute(admin)
    .await
    .unwrap();
    actor
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_lets_everybody_do_what_the_permission_table_says() {
    let mut world = World::made().await;
    let (mut tried, mut wrong) = (0, String::new());
    // Jobs first: other rows hang on them.
    let (jobs, others): (Vec<&Rule>, Vec<&Rule>) = RULES.iter().partition(|rule| rule.table == "job");
    for rule in jobs.into_iter().chain(others) {
        for place in Place::ALL.into_iter().filter(|place| place.fits(rule.bound)) {
            let key = world.row(rule, place).await;
            for (who, actor) in world.everybody() {
                for command in Command::ALL {
                    let touched = world.touched(&actor, rule, command, place, &key).await;
                    let succeeds = command.succeeds(rule, &actor, place);
                    tried += 1;
                    // Beyond the permission the table's own triggers decide; they have tests of their own.
                    if succeeds && command.is_guarded(rule) {
                        continue;
                    }
                    if (touched == Some(1)) != succeeds || touched.unwrap_or(0) > 1 {
                        let should = if succeeds { "should" } else { "should not" };
                        let _ = writeln!(
                            wrong,
                            "{command:?} {} ({place:?}) as {who}: {should} succeed, touched {touched:?}",
                            rule.table
                        );
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(tried > 1500, "only {tried} tried");
}

/// Tables with an organisation, and the commands on them that the app was granted and no policy admits.
async fn guarded(database: &mut Database) -> Vec<(String, bool, Vec<String>)> {
    sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity,
                ARRAY(SELECT command FROM (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd'))
                                          AS known (command, letter)
                      WHERE CASE command
                            WHEN 'DELETE' THEN has_table_privilege('countersign_app', c.oid, command)
                            ELSE has_any_column_privilege('countersign_app', c.oid, command) END
                        AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid
                                        AND p.polcmd IN (letter::\"char\", '*')
                                        AND 'countersign_app'::regrole = ANY (p.polroles)))
         FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id'
                       AND NOT a.attisdropped)",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_table_has_its_line_and_every_granted_command_its_policy() {
    let mut database = Database::migrated().await;
    let tables = guarded(&mut database).await;
    let there: BTreeSet<&str> = tables.iter().map(|(table, ..)| table.as_str()).collect();
    let told: BTreeSet<&str> = RULES.iter().map(|rule| rule.table).collect();
    assert_eq!(told.len(), RULES.len(), "a table has two lines");
    let missing: Vec<_> = there.difference(&told).collect();
    assert!(missing.is_empty(), "say in matrix/rules.rs who may do what with {missing:?}");
    let gone: Vec<_> = told.difference(&there).collect();
    assert!(gone.is_empty(), "these tables are no more: {gone:?}");
    for (table, forced, bare) in &tables {
        assert!(forced, "{table}: ENABLE and FORCE ROW LEVEL SECURITY");
        assert!(bare.is_empty(), "{table}: granted without a policy: {bare:?}");
    }
}
