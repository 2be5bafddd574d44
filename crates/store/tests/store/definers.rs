//! Functions that act as the tables' owner: nobody calls one who was not given it by name, and nobody has a trigger's
//! function act on a table of their own.

use sqlx::AssertSqlSafe;

use crate::database::Database;

/// What anybody may call: questions about the transaction's own settings, which read no table.
const OPEN: &[&str] = &[
    "acting_role",
    "current_account",
    "current_actor",
    "current_org",
    "current_session",
    "may",
    "may_change",
    "seen_workspaces",
    "sees_all_workspaces",
];

#[tokio::test]
async fn functions_are_called_by_whom_they_were_given_to() {
    let mut database = Database::migrated().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT p.proname::text FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace
           AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap();
    assert_eq!(open, OPEN, "REVOKE ALL ON FUNCTION … FROM PUBLIC in the migration that makes it");
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT p.proname::text FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
           AND NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=public, pg_temp']",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap();
    assert!(loose.is_empty(), "{loose:?} would look tables up wherever their caller says");
}

#[tokio::test]
async fn nobody_hangs_a_triggers_function_on_a_table_of_their_own() {
    let mut database = Database::migrated().await;
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT p.proname::text FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace AND p.prorettype = 'trigger'::regtype",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap();
    assert!(functions.len() > 10, "{functions:?}");
    for role in ["countersign_app", "countersign_engine", "countersign_vault"] {
        for function in &functions {
            let text = format!(
                "SET ROLE {role}; CREATE TEMP TABLE own (approval_id uuid, decision text);
                 CREATE TRIGGER own AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION {function}()"
            );
            let error = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut database.admin).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{role}: {function}");
            sqlx::raw_sql("RESET ROLE; DROP TABLE IF EXISTS own").execute(&mut database.admin).await.unwrap();
        }
    }
}
