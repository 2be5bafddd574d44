//! People, invitations, workspaces and API tokens.

use domain::{Permission, Permissions, Role};
use serde_json::json;
use uuid::Uuid;

use super::{About, Bound, Recipe, Setting};
use crate::call::Call;
use crate::world::Joined;

impl Setting<'_> {
    /// A member of the organisation.
    async fn member(&self) -> Joined {
        self.world.joined(self.org(), Role::Support).await
    }

    /// A member who may not come in.
    async fn disabled(&self) -> Joined {
        let member = self.member().await;
        sqlx::query("UPDATE member SET disabled_at = now() WHERE actor_id = $1")
            .bind(member.actor)
            .execute(self.world.app.db.superuser())
            .await
            .unwrap();
        member
    }

    /// An API token of the organisation.
    async fn api_token(&self) -> Uuid {
        self.made_for_org(
            "WITH made AS (INSERT INTO actor (actor_id, org_id, kind, name) VALUES (gen_random_uuid(), $2, 'token', 't')
                           RETURNING actor_id)
             INSERT INTO api_token (token_id, org_id, actor_id, name, token_hash, scopes)
             SELECT $1, $2, actor_id, 't', sha256($1::text::bytea), '{jobs:read}' FROM made",
        )
        .await
    }

    /// An open invitation.
    pub(crate) async fn invitation(&self) -> Uuid {
        self.made(
            "INSERT INTO invitation (invitation_id, org_id, email, role, all_workspaces, workspaces, asked_at, expires_at)
             SELECT $1, $2, $1 || '@people.test', 'support', false, ARRAY[$3], now() - interval '1 hour',
                    now() + interval '1 day'
             WHERE $4::uuid IS NULL",
        )
        .await
    }
}

/// Nobody gives a role that may do more than they may themselves, or takes it away.
fn given(role: Role) -> Vec<Permission> {
    role.permissions().and(Permissions::TOKEN).iter().collect()
}

pub(super) fn recipes() -> Vec<Recipe> {
    let one = About::One(Bound::Org);
    let many = About::Many(Bound::Org);
    vec![
        Recipe::new("GET /v1/people", many, |s| {
            Box::pin(async {
                let member = s.member().await;
                Call::plain().asking(format!("q={}", member.account)).shows(format!("\"{}\"", member.actor))
            })
        }),
        Recipe::new("GET /v1/people/{actor_id}", one, |s| {
            Box::pin(async { Call::at(s.member().await.actor) })
        }),
        Recipe::new("PATCH /v1/people/{actor_id}", one, |s| {
            Box::pin(async { Call::at(s.member().await.actor).and_with(json!({ "role": "auditor" })) })
        })
        .also([given(Role::Auditor), given(Role::Support)].concat()),
        Recipe::new("POST /v1/people/{actor_id}/disable", one, |s| {
            Box::pin(async { Call::at(s.member().await.actor) })
        })
        .also(given(Role::Support)),
        Recipe::new("POST /v1/people/{actor_id}/enable", one, |s| {
            Box::pin(async { Call::at(s.disabled().await.actor) })
        })
        .also(given(Role::Support)),
        Recipe::new("GET /v1/people/{actor_id}/sessions", one, |s| {
            Box::pin(async { Call::at(s.member().await.actor) })
        }),
        Recipe::new("DELETE /v1/people/{actor_id}/sessions", one, |s| {
            Box::pin(async {
                let member = s.member().await;
                s.world.session(&member).await;
                Call::at(member.actor)
            })
        })
        .also(given(Role::Support)),
        Recipe::new("GET /v1/invitations", many, |s| {
            Box::pin(async { Call::plain().asking("limit=200").shows(s.invitation().await) })
        }),
        Recipe::new("POST /v1/invitations", About::NamesRoom, |s| {
            Box::pin(async {
                let email = format!("{}@people.test", Uuid::now_v7());
                Call::with(json!({ "email": email, "role": "support", "workspaces": [s.room()] }))
            })
        })
        .also(given(Role::Support)),
        Recipe::new("POST /v1/invitations/{invitation_id}/resend", one, |s| {
            Box::pin(async { Call::at(s.invitation().await) })
        })
        .also(given(Role::Support)),
        Recipe::new("DELETE /v1/invitations/{invitation_id}", one, |s| {
            Box::pin(async { Call::at(s.invitation().await) })
        }),
        Recipe::new("GET /v1/workspaces", About::Many(Bound::Room), |s| {
            Box::pin(async { Call::plain().asking("limit=200").shows(s.room()) })
        }),
        Recipe::new("POST /v1/workspaces", About::Nothing, |_| {
            Box::pin(async {
                Call::with(json!({ "slug": format!("w-{}", Uuid::now_v7()), "name": "Another" }))
            })
        }),
        Recipe::new("PATCH /v1/workspaces/{workspace_id}", About::One(Bound::Room), |s| {
            Box::pin(async {
                Call::at(s.room()).and_with(json!({ "name": format!("Room {}", Uuid::now_v7()) }))
            })
        }),
        Recipe::new("GET /v1/tokens", many, |s| {
            Box::pin(async { Call::plain().asking("limit=200").shows(s.api_token().await) })
        }),
        Recipe::new("POST /v1/tokens", About::Nothing, |_| {
            // Nobody gives more than they have.
            Box::pin(async { Call::with(json!({ "name": "ci", "scopes": ["tokens:write"] })) })
        }),
        Recipe::new("DELETE /v1/tokens/{token_id}", one, |s| {
            Box::pin(async { Call::at(s.api_token().await) })
        }),
    ]
}
