//! Secrets are sealed, and are nowhere to be read.

use secrecy::ExposeSecret as _;
use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_database_the_log_or_an_answer_after_a_call() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    caller.hang_up().await?;
    bed.product
        .project_until("harbour", SOON, |project| project.active_calls == 0)
        .await?;

    // Every metric that a call brings to life is on the page.
    let page = include_str!("../../docs/metrics.md");
    for line in bed.product.get("/metrics").await?.1.lines() {
        let kind = line
            .strip_prefix("# TYPE ")
            .map(|line| line.split(' ').next());
        if let Some(Some(name)) = kind {
            assert!(
                page.contains(&format!("| `{name}` |")),
                "{name} is not in docs/metrics.md"
            );
        }
    }

    let row: String = sqlx::query_scalar("SELECT row_to_json(tenants)::text FROM tenants")
        .fetch_one(&bed.sql)
        .await?;
    let mut places = vec![("the database", row), ("the log", bed.product.log())];
    for path in ["/status", "/metrics", "/readyz", "/healthz"] {
        places.push((path, bed.product.get(path).await?.1));
    }
    for arguments in [["tenant", "list", "--json"], ["tenant", "show", "harbour"]] {
        places.push(("the command line", bed.product.command(&arguments).await?));
    }
    for secret in [project.livekit.api_secret(), &bed.model_key] {
        for (place, text) in &places {
            assert!(
                !text.contains(secret.expose_secret()),
                "a secret is in {place}"
            );
        }
    }
    Ok(())
}
