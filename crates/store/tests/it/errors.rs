//! A database that is away, refuses, or hangs.

use std::time::Duration;

use trunkline_store::{AddError, NewTenant, StoreError};
use trunkline_testbed::postgres::Postgres;

use crate::bed::{Bed, Beside, LIMIT, actor, open};

#[tokio::test]
async fn a_database_that_is_away_is_unreachable_and_its_return_is_noticed() {
    let mut server = Postgres::start().await.unwrap();
    let bed = Bed::on(&server).await;
    bed.store.migrate().await.unwrap();
    bed.store.healthy().await.unwrap();
    server.stop().await.unwrap();
    let impatient = bed.replica(|options| options.acquire_timeout_ms = 200);
    let error = impatient.tenants().await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.is_transient());
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("refused"), "{cause}");
    assert!(bed.store.healthy().await.is_err());

    server.start_again().await.unwrap();
    // The pool may hold connections that have died without its knowing.
    tokio::time::timeout(LIMIT, async { while bed.store.healthy().await.is_err() {} })
        .await
        .expect("the database is back");
}

#[tokio::test]
async fn an_error_never_shows_the_row_that_it_is_about() {
    let bed = Bed::start().await;
    // A constraint that fails puts the whole row into the error's detail.
    bed.execute("ALTER TABLE tenants ADD CONSTRAINT few CHECK (max_calls < 5)")
        .await;
    let mut tenant = NewTenant::new("acme", "wss://hidden.example", "key", "secret");
    tenant.max_calls = Some(10);
    let error = bed.store.add_tenant(tenant, &actor()).await.unwrap_err();
    assert!(
        matches!(error, AddError::Store(StoreError::Refused { .. })),
        "{error:?}"
    );
    let shown = format!("{error:?} {:?}", anyhow::Error::from(error.clone()));
    assert!(
        shown.contains("few") && !shown.contains("hidden"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_query_that_hangs_is_given_up_and_its_place_is_free_again() {
    let bed = Bed::start().await;
    let impatient = open(&bed.url, &bed.keys, |options| {
        options.max_connections = 1;
        options.query_timeout_ms = 100;
    });
    let mut lock = bed.sql.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE tenants")
        .execute(&mut *lock)
        .await
        .unwrap();
    for _ in 0..3 {
        let error = impatient.tenants().await.unwrap_err();
        let limit = Duration::from_millis(100);
        assert_eq!(error, StoreError::TimedOut { limit });
    }
    lock.rollback().await.unwrap();
    impatient.tenants().await.unwrap();
}

#[tokio::test]
async fn a_process_that_uses_all_its_connections_says_so() {
    let bed = Bed::start().await;
    let store = bed.replica(|options| {
        options.max_connections = 1;
        options.acquire_timeout_ms = 100;
    });
    let mut lock = bed.sql.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE tenants")
        .execute(&mut *lock)
        .await
        .unwrap();
    let (reader, waiting) = (store.clone(), bed.sql.clone());
    let held = Beside::start(async move { reader.tenants().await });
    // Until the database has the query, and so the only connection is in use.
    let blocked = async {
        let query = "SELECT 1 FROM pg_locks WHERE NOT granted AND database =
                     (SELECT oid FROM pg_database WHERE datname = current_database())";
        while sqlx::query(query)
            .fetch_optional(&waiting)
            .await
            .unwrap()
            .is_none()
        {}
    };
    tokio::time::timeout(LIMIT, blocked).await.unwrap();
    let error = store.tenants().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "all connections of this process are in use");
    lock.rollback().await.unwrap();
    held.ended().await.unwrap();
}
