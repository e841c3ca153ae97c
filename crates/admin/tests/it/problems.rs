//! What goes wrong is a problem of RFC 9457, whoever notices it.

use reqwest::Method;
use serde_json::json;

use crate::bed::Bed;

#[tokio::test]
async fn what_axum_refuses_by_itself_is_a_problem_too() {
    let bed = Bed::start().await;
    let admin = &bed.admin;
    let nowhere = bed.get(admin, "/v1/nowhere").await;
    assert_eq!(nowhere.problem(404).0, "not-found");
    assert_eq!(bed.get(admin, "/nowhere").await.problem(404).0, "not-found");
    let no_id = bed.get(admin, "/v1/calls/not-an-id").await;
    assert_eq!(no_id.problem(404).0, "not-found");

    let wrong_method = bed.request(admin, Method::PUT, "/v1/tokens");
    let (kind, _) = bed.send(wrong_method).await.problem(405);
    assert_eq!(kind, "method-not-allowed");

    let post = || bed.request(admin, Method::POST, "/v1/tokens");
    let no_json = bed.send(post().body("name=x")).await;
    assert_eq!(no_json.problem(415).0, "not-json");
    let json = |body: String| post().header("content-type", "application/json").body(body);
    let broken = bed.send(json("{".to_owned())).await;
    assert_eq!(broken.problem(400).0, "malformed");
    let large = bed.send(json(format!("\"{}\"", "x".repeat(300_000)))).await;
    assert_eq!(large.problem(413).0, "too-large");
}

#[tokio::test]
async fn wrong_fields_are_named_with_what_to_do() {
    let bed = Bed::start().await;
    let refused = async |body| {
        let (kind, problem) = bed.post(&bed.admin, "/v1/tokens", body).await.problem(422);
        assert_eq!(kind, "invalid");
        let error = problem["errors"][0].clone();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (text("field"), text("problem"), text("remedy"))
    };
    let (field, _, remedy) = refused(json!({"name": "x", "scope": "root"})).await;
    assert_eq!(field, "scope");
    assert!(remedy.contains("`read`, `operator`"), "{remedy}");
    let (field, problem, _) = refused(json!({"scope": "read"})).await;
    assert_eq!((field.as_str(), problem.as_str()), ("name", "is missing"));
    let (field, problem, _) = refused(json!({"name": "x", "scope": "read", "colour": 1})).await;
    assert_eq!(
        (field.as_str(), problem.as_str()),
        ("colour", "is not known")
    );
    let (field, _, _) = refused(json!({"name": "", "scope": "read"})).await;
    assert_eq!(field, "name");
    let expired = json!({"name": "x", "scope": "read", "expires_at": "2020-01-01T00:00:00Z"});
    assert_eq!(refused(expired).await.0, "expires_at");
    let nobody = json!({"name": "x", "scope": "read", "tenant": "nobody"});
    assert_eq!(refused(nobody).await.0, "tenant");
}

#[tokio::test]
async fn an_answer_has_the_id_that_the_request_gave_itself() {
    let bed = Bed::start().await;
    let request = bed.request(&bed.admin, Method::GET, "/v1/self");
    let answer = bed.send(request.header("x-request-id", "mine-1")).await;
    assert_eq!(answer.request_id.as_deref(), Some("mine-1"));
    let other = bed.get(&bed.admin, "/v1/self").await.request_id.unwrap();
    assert_ne!(other, "mine-1");
    assert_eq!(other.len(), 36);
}

#[tokio::test]
async fn with_the_database_away_who_is_known_sees_what_is_live_and_is_told_the_rest() {
    let mut bed = Bed::alone().await;
    let acme = bed.tenant("acme").await;
    let (id, entered) = bed.live_call(acme, "acme");
    let stranger = bed
        .token("stranger", trunkline_domain::AccessScope::Admin, None)
        .await;
    bed.get(&bed.admin, "/v1/self").await.is(200);
    bed.postgres.as_mut().unwrap().stop().await.unwrap();

    bed.get(&bed.admin, "/v1/calls/live").await.is(200);
    let path = format!("/v1/calls/{}/hang-up", id.0);
    bed.send(bed.request(&bed.admin, Method::POST, &path))
        .await
        .is(202);
    assert!(entered.hang_up().is_cancelled());
    let away = bed.get(&bed.admin, "/v1/calls").await;
    assert!(away.retry_after.is_some());
    assert_eq!(away.problem(503).0, "database-away");
    let unknown = bed.get(&stranger, "/v1/calls/live").await;
    assert_eq!(unknown.problem(503).0, "database-away");
}

#[tokio::test]
async fn with_a_database_that_never_answers_what_is_live_is_told_all_the_same() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let (_, _entered) = bed.live_call(acme, "acme");
    bed.get(&bed.admin, "/v1/self").await.is(200);
    // Whoever reads a token waits for this transaction's end, which does not come.
    let mut transaction = bed.sql.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE api_tokens IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let calls = bed.get(&bed.admin, "/v1/calls/live").await.is(200);
    assert_eq!(calls["items"].as_array().unwrap().len(), 1);
    let workers = bed.get(&bed.admin, "/v1/workers?here=true").await.is(200);
    assert_eq!(workers["items"][0]["tenant"], "acme");
    drop(transaction);
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_told_and_is_no_fault_of_the_server() {
    let bed = Bed::start().await;
    for (path, field, remedy) in [
        ("/v1/tenants?q=a%00b", "q", "leave it out"),
        ("/v1/calls?caller=%00", "caller", "leave it out"),
        ("/v1/workers?tenant=%00", "tenant", "leave it out"),
        (
            "/v1/calls?from=-100000-01-01T00:00:00Z",
            "from",
            "years 1 to 9999",
        ),
        (
            "/v1/calls?to=%2B262000-01-01T00:00:00Z",
            "to",
            "years 1 to 9999",
        ),
        (
            "/v1/refusals?from=-10000-01-01T00:00:00Z",
            "from",
            "years 1 to 9999",
        ),
        (
            "/v1/workers?state=asleep",
            "state",
            "registered, backing_off",
        ),
        (
            "/v1/calls?outcome=lost",
            "outcome",
            "caller_hung_up, caller_gave_up",
        ),
        (
            "/v1/refusals?reason=whim",
            "reason",
            "tenant_full, tenant_rate",
        ),
    ] {
        let (kind, problem) = bed.get(&bed.admin, path).await.problem(422);
        assert_eq!(kind, "invalid", "{path}");
        let error = &problem["errors"][0];
        assert_eq!(error["field"], field, "{path}: {problem}");
        let told = error["remedy"].as_str().unwrap();
        assert!(told.contains(remedy), "{path}: {told}");
    }
    let nobody = bed.get(&bed.admin, "/v1/tenants/a%00b").await;
    assert_eq!(nobody.problem(404).0, "not-found");
    for path in ["/v1/calls?outcome=crashed", "/v1/workers?state=parked"] {
        bed.get(&bed.admin, path).await.is(200);
    }
}
