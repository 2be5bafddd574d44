//! Bookkeeping that reaches past what an actor sees.
//!
//! Somebody bound to one room may end a job of a batch that spans rooms: the batch must count it all the
//! same, and the job that follows may belong to a room they don't see. What the actor asked for happens
//! under their own view; only the engine's own consequences of it happen here. Under the engine's role the
//! settings mean nothing, and nothing changes.

use sqlx::PgConnection;
use uuid::Uuid;

/// What the transaction saw before it was widened.
#[must_use = "give it to narrow, or the transaction goes on seeing every room"]
pub(crate) struct View {
    actor: String,
    workspaces: String,
}

/// Lets the transaction see every room of its organisation until [`narrow`].
pub(crate) async fn widen(connection: &mut PgConnection) -> Result<View, sqlx::Error> {
    let (actor, workspaces) = sqlx::query_as(
        "SELECT coalesce(current_setting('countersign.actor', true), ''),
                coalesce(current_setting('countersign.workspaces', true), '')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let view = View { actor, workspaces };
    set(connection, &view.actor, "*").await?;
    Ok(view)
}

/// Lets it write what is private to somebody, until [`narrow`].
pub(crate) async fn on_behalf_of(
    connection: &mut PgConnection,
    private_to: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    match private_to {
        Some(actor) => set(connection, &actor.to_string(), "*").await,
        None => Ok(()),
    }
}

/// Takes the transaction back to what it saw.
pub(crate) async fn narrow(connection: &mut PgConnection, view: View) -> Result<(), sqlx::Error> {
    set(connection, &view.actor, &view.workspaces).await
}

async fn set(connection: &mut PgConnection, actor: &str, workspaces: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT set_config('countersign.actor', $1, true), set_config('countersign.workspaces', $2, true)",
    )
    .bind(actor)
    .bind(workspaces)
    .execute(connection)
    .await?;
    Ok(())
}
