//! One file for each route.

mod audit;
mod call;
mod calls;
mod drain;
mod events;
mod hang_up;
mod identity;
mod live_calls;
mod refusals;
mod replica;
mod tenant_add;
mod tenant_apology;
mod tenant_change;
mod tenant_disable;
mod tenant_enable;
mod tenant_history;
mod tenant_remove;
mod tenant_show;
mod tenant_switch;
mod tenant_test;
mod tenant_view;
mod tenants;
mod token_add;
mod token_revoke;
mod tokens;
mod view;
mod workers;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit::audit;
use super::auth::authenticate;
use super::envelope::envelope;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use super::{MAX_BODY_BYTES, openapi};
use crate::page;

/// Every route that is described.
pub(crate) fn documented() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(tenants::get, tenant_add::post))
        .routes(routes!(
            tenant_show::get,
            tenant_change::patch,
            tenant_remove::delete
        ))
        .routes(routes!(tenant_apology::put, tenant_apology::delete))
        .routes(routes!(tenant_disable::post))
        .routes(routes!(tenant_enable::post))
        .routes(routes!(tenant_test::post))
        .routes(routes!(tenant_history::get))
        .routes(routes!(workers::get))
        .routes(routes!(calls::get))
        .routes(routes!(live_calls::get))
        .routes(routes!(refusals::get))
        .routes(routes!(call::get))
        .routes(routes!(hang_up::post))
        .routes(routes!(replica::get))
        .routes(routes!(drain::post))
        .routes(routes!(identity::get))
        .routes(routes!(tokens::get, token_add::post))
        .routes(routes!(token_revoke::delete))
        .routes(routes!(audit::get))
        .routes(routes!(events::get))
}

/// The whole API, and the page that shows it.
pub(crate) fn router(state: ApiState) -> Router {
    let (router, document) = documented().split_for_parts();
    let actions = openapi::actions(&document);
    let description = openapi::description();
    let described = move || {
        let description = description.clone();
        async move { ([(CONTENT_TYPE, "application/json")], description) }
    };
    let router = router
        .route(openapi::PATH, get(described))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(
            (state.clone(), actions),
            audit,
        ))
        .layer(middleware::from_fn_with_state(state.clone(), authenticate))
        .layer(middleware::from_fn(envelope))
        .with_state(state);
    page::router().merge(router)
}

async fn no_such_path() -> Problem {
    Problem::new(
        Kind::NotFound,
        format!(
            "there is nothing here; what there is, is told at {}",
            openapi::PATH
        ),
    )
}

async fn no_such_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the header allow says what can be done here",
    )
}
