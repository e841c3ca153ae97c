use sqlx::{Connection as _, Executor as _, PgConnection};
use trunkline_testbed::postgres::Postgres;

async fn count(url: &str) -> Result<i64, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("SELECT count(*) FROM calls")
        .fetch_one(&mut connection)
        .await
}

#[tokio::test]
async fn a_database_keeps_its_rows_over_an_outage_and_its_url_stays() {
    let mut postgres = Postgres::start().await.expect("Postgres");
    let url = postgres.create_database("away").await.expect("a database");
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    connection
        .execute("CREATE TABLE calls (id int); INSERT INTO calls VALUES (1), (2)")
        .await
        .expect("a table");

    postgres.stop().await.expect("stopped");
    connection
        .execute("SELECT 1")
        .await
        .expect_err("the connection is cut");
    count(&url).await.expect_err("nobody answers");

    postgres.start_again().await.expect("started again");
    assert_eq!(postgres.url("away"), url);
    assert_eq!(count(&url).await.expect("rows"), 2);

    postgres.crash().await.expect("crashed");
    postgres.start_again().await.expect("recovered");
    assert_eq!(count(&url).await.expect("rows"), 2);
}

#[tokio::test]
async fn two_clusters_run_side_by_side_and_dropping_one_leaves_the_other() {
    let one = Postgres::start().await.expect("Postgres");
    let two = Postgres::start().await.expect("Postgres");
    assert_ne!(one.port(), two.port());
    let url = one.url("postgres");
    drop(one);
    PgConnection::connect(&url)
        .await
        .expect_err("the first is gone");
    PgConnection::connect(&two.url("postgres"))
        .await
        .expect("the second is there");
}

#[tokio::test]
async fn a_database_of_the_same_name_is_refused() {
    let postgres = Postgres::start().await.expect("Postgres");
    postgres.create_database("twice").await.expect("the first");
    postgres
        .create_database("twice")
        .await
        .expect_err("the second");
}
