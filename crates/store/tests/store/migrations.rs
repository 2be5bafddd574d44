//! Migrating, and knowing what is missing.

use store::migrate;

use crate::database::Database;

#[tokio::test]
async fn an_empty_database_lacks_everything_and_a_migrated_one_nothing() {
    let database = Database::empty().await;
    let missing = migrate::pending(&database.store).await.unwrap();
    assert!(missing.iter().any(|migration| migration.description == "tenants"), "{missing:?}");

    assert_eq!(migrate::run(&database.url).await.unwrap(), missing.len());
    assert_eq!(migrate::pending(&database.store).await.unwrap(), []);
    assert_eq!(migrate::run(&database.url).await.unwrap(), 0, "a second run changes nothing");
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_away() {
    let config = store::StoreConfig {
        acquire_timeout: std::time::Duration::from_millis(300),
        ..store::StoreConfig::new("postgres://nobody@127.0.0.1:1/none".into(), None)
    };
    let store = store::Store::connect_with(&config).unwrap();
    assert!(matches!(store.ping().await, Err(store::StoreError::Away(_))));
    assert!(matches!(migrate::pending(&store).await, Err(store::StoreError::Away(_))));
}
