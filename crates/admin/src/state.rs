//! What the routes know.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use trunkline_supervisor::{Handle, Phase};

/// What keeps the process from beginning, for people. `None`: nothing does.
pub type Obstacle = Option<String>;

/// What the routes read. Cheap to clone.
#[derive(Clone)]
pub struct AdminState {
    inner: Arc<Inner>,
}

struct Inner {
    replica: String,
    projects: Handle,
    obstacle: watch::Receiver<Obstacle>,
    metrics: PrometheusHandle,
}

/// Whether calls can be sent here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Every project has been tried. One that cannot be registered does not make
    /// the process unready: the others are served.
    Ready,
    /// Not yet, or not any more.
    NotReady {
        /// Why, for people.
        reason: String,
    },
}

impl AdminState {
    /// State out of its sources. `obstacle` says what start-up waits for.
    pub fn new(
        replica: String,
        projects: Handle,
        obstacle: watch::Receiver<Obstacle>,
        metrics: PrometheusHandle,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                replica,
                projects,
                obstacle,
                metrics,
            }),
        }
    }

    pub(crate) fn replica(&self) -> &str {
        &self.inner.replica
    }

    pub(crate) fn projects(&self) -> &Handle {
        &self.inner.projects
    }

    pub(crate) fn render_metrics(&self) -> String {
        self.inner.metrics.render()
    }

    /// Whether calls can be sent here.
    pub fn readiness(&self) -> Readiness {
        let obstacle = self.inner.obstacle.borrow().clone();
        let projects = &self.inner.projects;
        readiness(
            projects.phase(),
            obstacle,
            projects.unsettled(),
            projects.wrong_keys(),
        )
    }
}

/// `unsettled`: projects whose first attempt to register is not over. `wrong_keys`: why no
/// tenant's secrets can be opened.
fn readiness(
    phase: Phase,
    obstacle: Obstacle,
    unsettled: usize,
    wrong_keys: Option<String>,
) -> Readiness {
    let reason = match (phase, obstacle) {
        (Phase::Draining, _) => "draining: no more calls are taken".to_owned(),
        (Phase::Waiting, Some(obstacle)) => obstacle,
        (Phase::Waiting, None) => "the tenants have not been read yet".to_owned(),
        // The database may go away later: calls and projects do not need it.
        (Phase::Running, _) if unsettled > 0 => {
            format!("{unsettled} projects have not yet tried to register")
        }
        (Phase::Running, _) => match wrong_keys {
            Some(first) => format!(
                "the sealing keys of this process (sealing.keys) open no tenant's secrets: {first}"
            ),
            None => return Readiness::Ready,
        },
    };
    Readiness::NotReady { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(readiness: Readiness) -> String {
        match readiness {
            Readiness::Ready => "ready".to_owned(),
            Readiness::NotReady { reason } => reason,
        }
    }

    #[test]
    fn the_process_is_ready_when_every_project_has_been_tried() {
        assert_eq!(reason(readiness(Phase::Running, None, 0, None)), "ready");
        assert_eq!(
            reason(readiness(Phase::Running, None, 2, None)),
            "2 projects have not yet tried to register"
        );
    }

    #[test]
    fn before_the_tenants_are_read_the_obstacle_is_named() {
        assert_eq!(
            reason(readiness(Phase::Waiting, None, 0, None)),
            "the tenants have not been read yet"
        );
        let away = Some("the database cannot be reached".to_owned());
        assert_eq!(
            reason(readiness(Phase::Waiting, away.clone(), 0, None)),
            "the database cannot be reached"
        );
        assert_eq!(reason(readiness(Phase::Running, away, 0, None)), "ready");
    }

    #[test]
    fn a_process_whose_keys_open_nothing_is_not_ready_and_speaks_of_the_keys() {
        let wrong = Some("acme: livekit_api_secret is sealed with key k2".to_owned());
        let said = reason(readiness(Phase::Running, None, 0, wrong));
        assert!(
            said.contains("sealing.keys") && said.contains("acme"),
            "{said}"
        );
    }

    #[test]
    fn a_draining_process_is_not_ready() {
        assert!(reason(readiness(Phase::Draining, None, 0, None)).starts_with("draining"));
    }
}
