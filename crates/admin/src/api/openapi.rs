//! The API's description, generated from its code: OpenAPI 3.1.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa::{IntoResponses, Modify, OpenApi as _};

use super::audit::Actions;
use super::problem::{FieldProblem, ProblemBody};
use super::routes;

/// Where it is served, without a token.
pub(crate) const PATH: &str = "/v1/openapi.json";

/// The description as it is served and checked in: JSON, with a line's end behind it.
///
/// # Panics
/// Never: it is made of the code alone, and a test makes it.
pub fn description() -> String {
    let document = routes::documented().into_openapi();
    let json = serde_json::to_string_pretty(&document);
    let mut text = json.expect("what utoipa makes can be written");
    text.push('\n');
    text
}

/// What is not told by any route.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "trunkline",
        description = "Tenants, their workers and their calls. Every request bears a token \
                       (`trunkline token add`); what goes wrong is a problem of RFC 9457.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "The replica that is asked")),
    tags(
        (name = "tenants", description = "LiveKit projects, and how their calls are run"),
        (name = "workers", description = "What each replica does with each tenant"),
        (name = "calls", description = "Calls under way on this replica, and past calls of all"),
        (name = "replica", description = "The process that is asked"),
        (name = "access", description = "Tokens, and who did what"),
        (name = "events", description = "What changes, as it changes"),
    ),
    components(schemas(ProblemBody, FieldProblem)),
    security(("token" = [])),
    modifiers(&Tokens),
)]
struct Frame;

pub(crate) fn frame() -> OpenApi {
    Frame::openapi()
}

/// How one shows who one is.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(
            "A token of `trunkline token add`. Scopes: read; operator, who also switches \
             tenants, hangs up and drains; admin, who also writes tenants and tokens. A token \
             of one tenant sees that tenant only."
                .to_owned(),
        );
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What every operation can answer beside what it is for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is there to be described")]
pub(crate) enum Problems {
    /// The request cannot be served as it is; the problem says why.
    #[response(status = "4XX", content_type = "application/problem+json")]
    OfClient(ProblemBody),
    /// The server cannot serve it now; the problem says why.
    #[response(status = "5XX", content_type = "application/problem+json")]
    OfServer(ProblemBody),
}

/// Operations that ask for a change, by method and path, with their ids.
pub(crate) fn actions(document: &OpenApi) -> Actions {
    let mut actions = HashMap::new();
    for (path, item) in &document.paths.paths {
        for (method, operation) in changes(item) {
            if let Some(id) = operation.operation_id.clone() {
                actions.insert((method, path.clone()), id);
            }
        }
    }
    Arc::new(actions)
}

fn changes(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    [
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
}
