//! What disabling and enabling have in common.

use axum::Extension;
use axum::http::HeaderMap;
use trunkline_store::Enablement;

use super::tenant_view::{Tagged, expected, find, not_changed, tagged};
use crate::api::audit::Target;
use crate::api::auth::Identity;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

pub(super) async fn switch(
    state: &ApiState,
    identity: &Identity,
    slug: &str,
    headers: &HeaderMap,
    enabled: Enablement,
) -> Result<(Extension<Target>, Tagged), Problem> {
    let expected = expected(headers)?;
    let before = find(state, identity, slug).await?;
    let actor = identity.writer(state.inner_urls());
    let store = state.store();
    let changing = store.set_enabled(slug, enabled, expected, &actor);
    changing
        .await
        .map_err(|error| not_changed(identity, error))?;
    let target = Target {
        name: None,
        tenant_id: Some(before.id.0),
    };
    let record = find(state, identity, slug).await?;
    Ok((Extension(target), tagged(record)))
}
