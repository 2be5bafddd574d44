//! What calls are about, put into the tables past every rule.

use domain::OrgId;
use uuid::Uuid;

use crate::expect::Place;
use crate::recipes::Setting;

impl Setting<'_> {
    pub(crate) fn org(&self) -> OrgId {
        if self.place == Place::OtherOrg { self.world.other_org } else { self.world.org }
    }

    pub(crate) fn room(&self) -> Uuid {
        match self.place {
            Place::OwnRoom | Place::Private => self.world.room,
            Place::OtherRoom => self.world.other_room,
            Place::OtherOrg => self.world.other_orgs_room,
        }
    }

    fn private_to(&self) -> Option<Uuid> {
        (self.place == Place::Private).then_some(self.world.bystander)
    }

    /// Runs an insert whose parameters are the new id, the organisation, the room, and whom it is private to.
    pub(crate) async fn made(&self, statement: &'static str) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(statement)
            .bind(id)
            .bind(self.org().0)
            .bind(self.room())
            .bind(self.private_to())
            .execute(self.world.app.db.superuser())
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        id
    }

    /// The same for what belongs to no room and nobody.
    pub(crate) async fn made_for_org(&self, statement: &'static str) -> Uuid {
        let id = Uuid::now_v7();
        let query = sqlx::query(statement).bind(id).bind(self.org().0);
        let done = query.execute(self.world.app.db.superuser()).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        id
    }

    /// A job that waits for its time.
    pub(crate) async fn job(&self) -> Uuid {
        let id = self
            .made(
                "INSERT INTO job (job_id, org_id, workspace_id, private_to, created_at, run_at, state, priority,
                                  kind_version, max_attempts, kind, lane, payload)
                 VALUES ($1, $2, $3, $4, now(), now() + interval '1 day', 'scheduled', 0, 1, 1, 'system.echo', 'default',
                         '{\"message\": \"hello\"}')",
            )
            .await;
        sqlx::query(
            "INSERT INTO job_wait (job_id, org_id, due_at, lane, what, key)
             VALUES ($1, $2, now() + interval '1 day', 'default', 'time', 'run_at')",
        )
        .bind(id)
        .bind(self.org().0)
        .execute(self.world.app.db.superuser())
        .await
        .unwrap();
        id
    }

    /// A dead letter whose error code is its id.
    pub(crate) async fn dead_letter(&self) -> Uuid {
        self.made(
            "INSERT INTO job_history (job_id, org_id, workspace_id, private_to, created_at, run_at, finished_at, claim_no,
                                      state, priority, kind_version, attempt, max_attempts, recoveries, kind, lane,
                                      error_code, payload)
             VALUES ($1, $2, $3, $4, now(), now(), now(), 1, 'dead', 0, 1, 1, 1, 0, 'system.echo', 'default', $1::text,
                     '{\"message\": \"hello\"}')",
        )
        .await
    }

    pub(crate) async fn batch(&self) -> Uuid {
        self.made(
            "INSERT INTO job_batch (batch_id, org_id, workspace_id, private_to, name, total) VALUES ($1, $2, $3, $4, 'b', 1)",
        )
        .await
    }

    /// A schedule whose name is its id.
    pub(crate) async fn schedule(&self) -> Uuid {
        self.made(
            "INSERT INTO schedule (schedule_id, org_id, workspace_id, name, kind, payload, expression, zone, next_tick_at)
             SELECT $1, $2, $3, $1::text, 'system.echo', '{\"message\": \"hello\"}', '0 0 1 1 *', 'UTC', '2100-01-01'
             WHERE $4::uuid IS NULL",
        )
        .await
    }

    /// A rate whose name is its id.
    pub(crate) async fn limit(&self) -> Uuid {
        self.made_for_org(
            "INSERT INTO rate_limit (rate_limit_id, org_id, name, units, period_ms, burst)
             VALUES ($1, $2, $1::text, 1, 1000, 1)",
        )
        .await
    }
}
