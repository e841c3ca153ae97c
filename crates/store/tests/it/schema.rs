//! Migrations.

use std::time::Duration;

use tokio::net::TcpListener;
use trunkline_store::{Keyring, MigrateError, SchemaError, StoreError};

use crate::bed::{Bed, Beside, LIMIT, open};

#[tokio::test]
async fn migrating_twice_changes_nothing_and_keeps_the_rows() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.store.migrate().await.unwrap();
    bed.store.check_schema().await.unwrap();
    assert_eq!(bed.store.tenants().await.unwrap().len(), 1);
}

#[tokio::test]
async fn replicas_that_migrate_at_once_all_succeed() {
    let bed = Bed::unmigrated().await;
    let replicas: Vec<_> = (0..4).map(|_| bed.replica(|_| {})).collect();
    let tasks = replicas
        .into_iter()
        .map(|store| Beside::start(async move { store.migrate().await }));
    for task in tasks.collect::<Vec<_>>() {
        task.ended().await.unwrap();
    }
    bed.store.check_schema().await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_told_from_one_that_is_behind() {
    let bed = Bed::unmigrated().await;
    let error = bed.store.check_schema().await.unwrap_err();
    assert!(matches!(error, SchemaError::Missing), "{error}");
    assert!(error.to_string().contains("run `trunkline migrate`"));

    bed.store.migrate().await.unwrap();
    bed.execute("DELETE FROM _sqlx_migrations WHERE version > 1")
        .await;
    let error = bed.store.check_schema().await.unwrap_err();
    assert!(
        matches!(error, SchemaError::Behind { found: 1, needed } if needed > 1),
        "{error}"
    );
}

#[tokio::test]
async fn a_query_without_tables_says_to_migrate() {
    let bed = Bed::unmigrated().await;
    let error = bed.store.tenants().await.unwrap_err();
    assert!(matches!(error, StoreError::NotMigrated { .. }), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_database_ahead_of_this_version_is_used_as_it_is() {
    let bed = Bed::start().await;
    bed.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of a later version', true, '', 0)",
    )
    .await;
    bed.store.check_schema().await.unwrap();
    bed.store.migrate().await.unwrap();
}

#[tokio::test]
async fn a_migration_that_was_applied_in_another_form_is_refused() {
    let bed = Bed::start().await;
    bed.execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1")
        .await;
    let error = bed.store.migrate().await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Changed { version: 1 }),
        "{error}"
    );
    // The lock that migrations run under is free again.
    let error = bed.replica(|_| {}).migrate().await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Changed { version: 1 }),
        "{error}"
    );
}

#[tokio::test]
async fn a_failed_migration_is_undone_and_named() {
    let bed = Bed::unmigrated().await;
    bed.execute("CREATE TABLE calls (in_the_way text)").await;
    let error = bed.store.migrate().await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Failed { version: 2, .. }),
        "{error}"
    );
    let applied: i64 = bed.value("SELECT max(version) FROM _sqlx_migrations").await;
    assert_eq!(applied, 1);
    bed.execute("DROP TABLE calls").await;
    bed.store.migrate().await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_the_connection_and_never_answers_is_given_up() {
    // The backlog takes the connection; nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@{}/d", silent.local_addr().unwrap());
    let store = open(&url, &Keyring::generate_key().unwrap(), |_| {});
    let error = tokio::time::timeout(LIMIT, store.migrate())
        .await
        .expect("connecting is bounded by itself")
        .unwrap_err();
    let limit = Duration::from_secs(10);
    assert!(
        matches!(&error, MigrateError::Store(StoreError::TimedOut { limit: l }) if *l == limit),
        "{error}"
    );
    assert_eq!(error.to_string(), "the database did not answer within 10 s");
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is() {
    let bed = Bed::start().await;
    let silent: Vec<String> = bed
        .value(
            "SELECT coalesce(array_agg(c.relname || '.' || a.attname), '{}')
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
             WHERE c.relname IN ('tenants', 'calls', 'tenant_states', 'tenant_history',
                                 'api_tokens', 'api_audit', 'refused_offers')
               AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
        )
        .await;
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}
