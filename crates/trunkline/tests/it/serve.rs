//! `trunkline serve` with its database; calls are in the end-to-end tests.

use serde_json::Value;

use crate::bed::{Bed, Serving};

#[tokio::test]
async fn it_serves_health_metrics_and_status_and_ends_well_on_sigterm() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let serving = Serving::start(bed.command()).await;
    // Nobody answers for acme: it has been tried, and that is ready.
    serving
        .get_until("/readyz", |status, _| status == 200)
        .await;
    assert_eq!(serving.get("/healthz").await.0, 200);

    let status: Value = serde_json::from_str(&serving.get("/status").await.1).unwrap();
    assert_eq!(status["projects"][0]["slug"], "acme");
    assert_eq!(status["projects"][0]["state"], "backing_off");
    let reason = status["projects"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("there is no key for the model"), "{status}");
    let (status, body) = serving.get("/elsewhere").await;
    assert_eq!(status, 404);
    assert!(body.contains("/readyz"), "{body}");
    serving
        .get_until("/metrics", |_, metrics| {
            [
                "trunkline_build_info{",
                "trunkline_workers{state=\"backing_off\"} 1",
                "trunkline_workers{state=\"credentials_refused\"} 0",
                "trunkline_calls_crashed_total{tenant=\"acme\"} 0",
                "process_resident_memory_bytes",
                "# TYPE process_cpu_seconds_total counter",
            ]
            .iter()
            .all(|part| metrics.contains(part))
        })
        .await;

    serving.terminate().await;
    let (status, log) = serving.ends().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(log.contains("the service has ended"), "{log}");
}

#[tokio::test]
async fn what_a_replica_does_is_listed_and_is_gone_when_it_has_ended() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let mut command = bed.command();
    command.env("TRUNKLINE_REPLICA__NAME", "one");
    let serving = Serving::start(command).await;
    let until = std::time::Instant::now() + crate::bed::SOON;
    loop {
        let listed = bed.json(&["tenant", "list", "--json"]).await;
        if listed[0]["state"] == "backing_off" {
            assert_eq!(listed[0]["replicas"][0]["replica"], "one");
            let reason = listed[0]["reason"].as_str().unwrap();
            assert!(reason.contains("there is no key for the model"), "{listed}");
            break;
        }
        assert!(std::time::Instant::now() < until, "{listed}");
    }
    serving.terminate().await;
    serving.ends().await;
    let listed = bed.json(&["tenant", "list", "--json"]).await;
    assert_eq!(listed[0]["state"], "not_running");
}

#[tokio::test]
async fn two_that_go_by_one_name_are_told_apart_and_the_second_one_says_so() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let start = async || {
        let mut command = bed.command();
        command.env("TRUNKLINE_REPLICA__NAME", "same");
        Serving::start(command).await
    };
    let replicas = async |wanted: usize| {
        let until = std::time::Instant::now() + crate::bed::SOON;
        loop {
            let listed = bed.json(&["tenant", "list", "--json"]).await;
            if listed[0]["replicas"].as_array().unwrap().len() == wanted {
                return listed;
            }
            assert!(std::time::Instant::now() < until, "{listed}");
        }
    };
    let first = start().await;
    replicas(1).await;
    let mut second = start().await;
    let line = second
        .logs(
            "another process reported under this name a moment ago; if it still runs, give each a \
             name of its own (replica.name)",
        )
        .await;
    assert_eq!(
        (&line["level"], &line["replica"]),
        (&"WARN".into(), &"same".into())
    );
    let both = replicas(2).await;
    assert_eq!(both[0]["replicas"][0]["replica"], "same");
    assert_eq!(both[0]["replicas"][1]["replica"], "same");
    second.terminate().await;
    second.ends().await;
    replicas(1).await;
    first.terminate().await;
    first.ends().await;
}

#[tokio::test]
async fn with_the_database_away_at_the_start_it_says_so_once_and_waits() {
    let mut bed = Bed::migrated().await;
    bed.add("acme").await;
    bed.postgres.stop().await.unwrap();
    let mut command = bed.command();
    command.env("TRUNKLINE_DATABASE__ACQUIRE_TIMEOUT_MS", "100");
    let mut serving = Serving::start(command).await;
    let waiting = "waiting for the database; check that it runs and that database.url is right";
    let line = serving.logs(waiting).await;
    assert_eq!(line["level"], "WARN");
    let cause = line["error"].as_str().unwrap();
    assert!(cause.contains("refused"), "{cause}");
    assert_eq!(serving.get("/healthz").await.0, 200);
    serving
        .get_until("/readyz", |status, body| {
            status == 503 && body.contains("waiting for the database") && body.contains("refused")
        })
        .await;

    bed.postgres.start_again().await.unwrap();
    serving
        .get_until("/readyz", |status, _| status == 200)
        .await;
    serving.logs("the database can be reached").await;
    assert_eq!(serving.lines_with(waiting), 1);
    serving.terminate().await;
    assert!(serving.ends().await.0.success());
}

#[tokio::test]
async fn with_a_database_that_does_not_exist_it_names_the_cause_until_it_is_made() {
    let bed = Bed::migrated().await;
    let (server, _) = bed.url.rsplit_once('/').unwrap();
    for migrate in ["false", "true"] {
        let name = format!("later_{migrate}");
        let mut command = bed.command();
        command
            .env("TRUNKLINE_DATABASE__URL", format!("{server}/{name}"))
            .env("TRUNKLINE_DATABASE__MIGRATE_AT_START", migrate);
        let mut serving = Serving::start(command).await;
        let waiting = "waiting for the database; check that it runs and that database.url is right";
        let line = serving.logs(waiting).await;
        let cause = format!("database \"{name}\" does not exist (SQLSTATE 3D000)");
        assert!(
            line["error"].as_str().unwrap().contains(&cause),
            "{line} does not say {cause}"
        );
        serving
            .get_until("/readyz", |_, body| body.contains("SQLSTATE 3D000"))
            .await;
        serving.terminate().await;
        assert!(serving.ends().await.0.success());
    }
}

#[tokio::test]
async fn with_a_database_that_never_answers_it_says_so_and_goes_on_trying() {
    // The backlog takes the connections; nobody ever reads from them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/d", silent.local_addr().unwrap());
    let mut command = crate::bed::bare();
    command
        .env("TRUNKLINE_DATABASE__URL", url)
        .env("TRUNKLINE_DATABASE__MIGRATE_AT_START", "true")
        .env("TRUNKLINE_SEALING__KEYS", crate::bed::KEYS)
        .env("TRUNKLINE_ADMIN__LISTEN", "127.0.0.1:0");
    let serving = Serving::start(command).await;
    serving
        .get_until("/readyz", |_, body| {
            body.contains("waiting for the database: the database did not answer within 10 s")
        })
        .await;
    serving.terminate().await;
    assert!(serving.ends().await.0.success());
}

#[tokio::test]
async fn it_can_be_told_to_end_while_it_waits_for_the_database() {
    let mut bed = Bed::empty().await;
    bed.postgres.stop().await.unwrap();
    let serving = Serving::start(bed.command()).await;
    serving.terminate().await;
    let (status, log) = serving.ends().await;
    assert!(status.success(), "{status}\n{log}");
}

#[tokio::test]
async fn it_migrates_at_the_start_when_it_is_told_to() {
    let bed = Bed::empty().await;
    let mut command = bed.command();
    command.env("TRUNKLINE_DATABASE__MIGRATE_AT_START", "true");
    let serving = Serving::start(command).await;
    serving
        .get_until("/readyz", |status, _| status == 200)
        .await;
    serving.terminate().await;
    assert!(serving.ends().await.0.success());
}

#[tokio::test]
async fn an_admin_address_that_is_taken_is_an_error_that_names_the_key() {
    let bed = Bed::migrated().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = bed.command();
    command.env(
        "TRUNKLINE_ADMIN__LISTEN",
        taken.local_addr().unwrap().to_string(),
    );
    let output = command.arg("serve").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = crate::bed::text(&output.stderr);
    assert!(
        said.contains("admin.listen: cannot listen on 127.0.0.1:"),
        "{said}"
    );
}
