//! The API of the running product, about a real call.

use anyhow::Context as _;
use serde_json::{Value, json};
use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears, record_of};

/// A client of the API with a token of the command line.
struct Operator {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Operator {
    async fn of(bed: &Bed) -> anyhow::Result<Self> {
        let command = ["token", "add", "night-shift", "--scope", "operator"];
        Ok(Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(SOON)
                .build()?,
            url: bed.product.api_url(),
            token: bed.product.command(&command).await?.trim().to_owned(),
        })
    }

    async fn ask(&self, method: reqwest::Method, path: &str) -> anyhow::Result<(u16, Value)> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let response = request.bearer_auth(&self.token).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_a_call_hangs_up_on_it_and_finds_it_in_the_records() -> anyhow::Result<()>
{
    let bed = Bed::start(&["harbour"]).await?;
    let operator = Operator::of(&bed).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let room = caller.room().to_owned();

    let (status, live) = operator.ask(reqwest::Method::GET, "/v1/calls/live").await?;
    assert_eq!(status, 200);
    let call = &live["items"][0];
    assert_eq!(
        (&call["tenant"], &call["step"]),
        (&json!("harbour"), &json!("talking"))
    );
    assert_eq!(call["direction"], "inbound");
    let shown = call["caller"].as_str().context("a caller")?;
    assert!(
        shown.starts_with('…') && shown.chars().count() == 5,
        "{shown}"
    );
    let id = call["id"].as_str().context("an id")?.to_owned();

    let path = format!("/v1/calls/{id}/hang-up");
    let (status, _) = operator.ask(reqwest::Method::POST, &path).await?;
    assert_eq!(status, 202);
    caller.wait_ended(SOON).await?;
    assert_eq!(
        record_of(&bed.sql, &room).await?.outcome,
        "ended_by_operator"
    );
    bed.project("harbour")
        .livekit
        .probe()
        .room_gone(&room, SOON)
        .await?;

    let (_, past) = operator
        .ask(reqwest::Method::GET, &format!("/v1/calls/{id}"))
        .await?;
    assert_eq!(past["outcome"], "ended_by_operator");
    let timeline = past["timeline"].as_array().context("a timeline")?;
    let steps: Vec<&Value> = timeline.iter().map(|step| &step["step"]).collect();
    assert_eq!(steps.first(), Some(&&json!("assigned")));
    assert_eq!(steps.last(), Some(&&json!("ended")));
    assert!(steps.contains(&&json!("answered")), "{steps:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_checks_a_tenant_as_the_command_line_does() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let operator = Operator::of(&bed).await?;
    let path = "/v1/tenants/harbour/test";
    let (status, found) = operator.ask(reqwest::Method::POST, path).await?;
    assert_eq!(status, 200, "{found}");
    let arguments = ["tenant", "test", "harbour", "--json"];
    let command: Value = serde_json::from_str(&bed.product.command(&arguments).await?)?;
    let told = |report: &Value| -> Vec<(Value, Value)> {
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        checks
            .iter()
            .map(|check| (check["name"].clone(), check["status"].clone()))
            .collect()
    };
    // The command knows the registration by the replica's last report, the API as of now.
    let agent = (json!("agent"), json!("ok"));
    assert!(told(&found).contains(&agent), "{found:#}");
    let mut by_command = told(&command);
    for check in &mut by_command {
        if check.0 == json!("agent") {
            check.1 = json!("ok");
        }
    }
    assert_eq!(told(&found), by_command);
    assert_eq!(found["version"], command["version"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_by_the_api_ends_the_process_with_its_last_call() -> anyhow::Result<()> {
    let mut bed = Bed::start(&["harbour"]).await?;
    let operator = Operator::of(&bed).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let (status, draining) = operator
        .ask(reqwest::Method::POST, "/v1/replica/drain")
        .await?;
    assert_eq!((status, &draining["active_calls"]), (202, &json!(1)));
    bed.product
        .project_until("harbour", SOON, |project| project.state == "draining")
        .await?;
    caller.hang_up().await?;
    let exit = bed.product.ended(SOON).await?;
    assert!(exit.success(), "{exit}");
    Ok(())
}
