//! Another organisation's schedules do not exist.

use schedules::{Asked, Patch, ScheduleError, Spec, run_now, table};
use store::Tx;

use crate::stage::{Stage, this_year};

#[tokio::test]
async fn another_organisation_sees_changes_and_runs_nothing() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let (other, id) = (stage.other_org().await, made.schedule_id);

    // Under its own name, and under the name of the schedule's owner: the transaction decides.
    for org in [other.org_id, stage.org.org_id] {
        let mut tx = Tx::for_actor(&stage.store, &other).await.unwrap();
        let conn = tx.conn();
        assert!(table::list(conn, org, &table::Filter::default()).await.unwrap().is_empty());
        let missing = [
            table::get(conn, org, id).await.err(),
            table::update(conn, org, id, Patch::default(), noon).await.err(),
            table::pause(conn, org, id, noon).await.err(),
            table::resume(conn, org, id, noon).await.err(),
            table::delete(conn, org, id).await.err(),
            run_now(&stage.queue, &stage.registry, conn, org, id, Asked::default()).await.err(),
        ];
        for error in missing {
            assert!(matches!(error, Some(ScheduleError::NotFound)), "{error:?}");
        }
        tx.commit_unrecorded("a test").await.unwrap();
    }
    // Nor can it make one in the other's name, or take the name away.
    let mut tx = Tx::for_actor(&stage.store, &other).await.unwrap();
    let spec = Spec::new("planted", "0 * * * *", "UTC");
    let planted = table::create(tx.conn(), stage.org.org_id, None, &spec, &stage.echo(), noon).await;
    assert!(matches!(planted, Err(ScheduleError::Queue(_))), "{planted:?}");
    drop(tx);
    let mut tx = Tx::for_actor(&stage.store, &other).await.unwrap();
    let same_name = Spec::new("hourly", "0 * * * *", "UTC");
    table::create(tx.conn(), other.org_id, None, &same_name, &stage.echo(), noon).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();

    assert!(stage.jobs().await.is_empty());
    let seen = stage.get(id).await;
    assert_eq!(
        (seen.paused, seen.next_tick_at, seen.changed_at),
        (false, made.next_tick_at, made.changed_at)
    );
}

#[tokio::test]
async fn a_workspace_of_another_organisation_is_no_room() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let other = stage.other_org().await;
    let room = |org: domain::OrgId| {
        sqlx::query_scalar::<_, uuid::Uuid>("SELECT workspace_id FROM workspace WHERE org_id = $1")
            .bind(org.0)
            .fetch_one(&stage.admin)
    };
    let (own, foreign) = (room(stage.org.org_id).await.unwrap(), room(other.org_id).await.unwrap());
    let mut spec = Spec::new("in a room", "0 * * * *", "UTC");
    spec.workspace_id = Some(domain::WorkspaceId(foreign));
    assert!(matches!(stage.try_schedule(&spec, noon).await, Err(ScheduleError::Invalid(_))));
    spec.workspace_id = Some(domain::WorkspaceId(own));
    assert_eq!(stage.schedule(&spec, noon).await.workspace_id, spec.workspace_id);
}
