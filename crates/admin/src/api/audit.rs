//! Who asked for which change, and what became of it: into the log, and the table.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use metrics::counter;
use trunkline_store::{AuditEntry, AuditOutcome};
use uuid::Uuid;

use super::auth::{self, Identity};
use super::envelope::RequestId;
use super::problem::ProblemNote;
use super::state::ApiState;

/// What a route knows better of its target than the path does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(crate) name: Option<String>,
    pub(crate) tenant_id: Option<Uuid>,
}

/// What each change is called, by method and path: the ids of its operations.
pub(crate) type Actions = Arc<HashMap<(Method, String), String>>;

/// An entry, but for who writes it.
pub(crate) struct Entry {
    pub(crate) request_id: Option<String>,
    pub(crate) actor: String,
    pub(crate) token_id: Option<Uuid>,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) address: Option<String>,
    pub(crate) action: String,
    pub(crate) target: Option<String>,
    pub(crate) outcome: AuditOutcome,
    pub(crate) status: u16,
    pub(crate) detail: Option<String>,
}

impl Entry {
    /// Into the log, and into the table. What the table does not take is in the log.
    pub(crate) async fn write(self, state: &ApiState) {
        tracing::info!(
            actor = self.actor,
            action = self.action,
            target = self.target,
            outcome = self.outcome.as_str(),
            status = self.status,
            address = self.address,
            request = self.request_id,
            detail = self.detail,
            "audit",
        );
        let entry = AuditEntry {
            replica: state.replica().name.clone(),
            request_id: self.request_id,
            actor: self.actor,
            token_id: self.token_id,
            address: self.address,
            action: self.action,
            target: self.target,
            tenant_id: self.tenant_id,
            outcome: self.outcome,
            status: Some(self.status),
            detail: self.detail,
        };
        if let Err(error) = state.store().audit(&entry).await {
            counter!("trunkline_api_audit_lost_total").increment(1);
            tracing::error!(
                error = error.one_line(),
                action = entry.action,
                actor = entry.actor,
                "an entry of the audit is in the log only: the database did not take it"
            );
        }
    }
}

/// The middleware: writes an entry for each request that asks for a change. It is
/// written before the answer goes out.
pub(crate) async fn audit(
    State((state, actions)): State<(ApiState, Actions)>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let pattern = matched.map(|path| path.as_str().to_owned());
    let action = pattern
        .as_ref()
        .and_then(|path| actions.get(&(request.method().clone(), path.clone())))
        .cloned();
    let (Some(action), Some(pattern)) = (action, pattern) else {
        return next.run(request).await;
    };
    let extensions = request.extensions();
    let identity = extensions.get::<Identity>().cloned();
    let request_id = extensions.get::<RequestId>().map(|id| id.0.clone());
    let address = auth::address(&request).to_string();
    let named = variable_parts(&pattern, request.uri().path());
    let response = next.run(request).await;
    let status = response.status();
    let target = response.extensions().get::<Target>().cloned();
    let target = target.unwrap_or_default();
    let detail = response.extensions().get::<ProblemNote>();
    let own_tenant = identity.as_ref().and_then(|i| i.tenant.as_ref());
    Entry {
        request_id,
        actor: identity
            .as_ref()
            .map_or_else(|| "anonymous".to_owned(), Identity::actor),
        token_id: identity.as_ref().map(|identity| identity.token_id),
        tenant_id: target.tenant_id.or(own_tenant.map(|own| own.id.0)),
        address: Some(address),
        action,
        target: target.name.or(named),
        outcome: outcome(status),
        status: status.as_u16(),
        detail: detail.map(|note| note.0.clone()),
    }
    .write(&state)
    .await;
    response
}

fn outcome(status: StatusCode) -> AuditOutcome {
    if status.is_server_error() {
        AuditOutcome::Failed
    } else if status.is_client_error() {
        AuditOutcome::Refused
    } else {
        AuditOutcome::Done
    }
}

/// What stands in a path where its pattern has names in braces.
fn variable_parts(pattern: &str, path: &str) -> Option<String> {
    let parts: Vec<&str> = pattern
        .split('/')
        .zip(path.split('/'))
        .filter(|(name, _)| name.starts_with('{'))
        .map(|(_, value)| value)
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_what_the_path_names() {
        assert_eq!(
            variable_parts("/v1/tenants/{slug}/disable", "/v1/tenants/acme/disable"),
            Some("acme".to_owned())
        );
        assert_eq!(variable_parts("/v1/tenants", "/v1/tenants"), None);
    }

    #[test]
    fn an_outcome_is_told_by_the_status() {
        assert_eq!(outcome(StatusCode::ACCEPTED), AuditOutcome::Done);
        assert_eq!(outcome(StatusCode::FORBIDDEN), AuditOutcome::Refused);
        assert_eq!(outcome(StatusCode::BAD_GATEWAY), AuditOutcome::Failed);
    }
}
