//! How workers end without an order, and how they come back: a panic, a loop that
//! stands still, an end that nobody asked for.

use std::time::{Duration, Instant};

use chrono::Utc;
use metrics::counter;
use trunkline_worker::{Urgency, panic_text};

use super::{House, Phase, TaskExit};
use crate::launch::Launcher;
use crate::project::{Life, Project, Role, WorkerKey};

/// Why a worker is started again.
#[derive(Debug, Clone)]
enum Failure {
    /// It panicked.
    Panicked(String),
    /// Its loop stood still.
    Stalled,
    /// It ended, and nobody had told it to.
    Unasked,
}

impl Failure {
    /// For metrics.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Panicked(_) => "panic",
            Self::Stalled => "stall",
            Self::Unasked => "unasked",
        }
    }
}

impl<L: Launcher> House<L> {
    /// Reads every exit of a worker, and decides.
    pub(super) fn exit(&mut self, exit: TaskExit) {
        let (task, failure) = match exit {
            Ok((task, _)) => (task, Failure::Unasked),
            Err(error) => {
                let task = error.id();
                let text = match error.try_into_panic() {
                    Ok(panic) => panic_text(panic.as_ref()),
                    Err(cancelled) => cancelled.to_string(),
                };
                (task, Failure::Panicked(text))
            }
        };
        self.abandoned.remove(&task);
        if let Some(key) = self.tasks.remove(&task) {
            self.lost(key, &failure);
        }
    }

    /// Looks for workers whose loops stand still. Their tasks are told to end;
    /// one that blocks its thread cannot hear it, and another takes its place all
    /// the same.
    pub(super) fn look(&mut self, now: Instant) {
        let slots = self.projects.values().flat_map(Project::slots);
        let running = slots.filter(|slot| slot.is_running());
        let pulses = running.map(|slot| (slot.key, &slot.pulse));
        for key in self.watchdog.look(now, pulses) {
            let Some(&id) = self.owners.get(&key) else {
                continue;
            };
            let slot = self.projects.get_mut(&id).and_then(|p| p.any_slot_mut(key));
            if let Some(task) = slot.and_then(|slot| slot.task.take()) {
                task.abort();
                self.tasks.remove(&task.id());
                self.abandoned.insert(task.id());
            }
            self.lost(key, &Failure::Stalled);
        }
    }

    /// A worker does not run any more: it is forgotten, or started again.
    fn lost(&mut self, key: WorkerKey, failure: &Failure) {
        let Some(&id) = self.owners.get(&key) else {
            return;
        };
        let Some(project) = self.projects.get_mut(&id) else {
            return;
        };
        let (tenant, calls) = (project.slug.as_str(), project.desk.active());
        match failure {
            Failure::Panicked(panic) => tracing::error!(
                tenant,
                panic,
                calls,
                "a worker crashed, and its calls go on; please report this fault"
            ),
            Failure::Stalled => {
                let limit_ms = self.options.stall_limit_ms;
                tracing::error!(
                    tenant,
                    limit_ms,
                    calls,
                    "a worker's loop stands still, and its calls go on; please report this fault"
                );
                counter!("trunkline_worker_stalls_total", "tenant" => tenant.to_owned())
                    .increment(1);
            }
            Failure::Unasked => {}
        }
        if project.role(key) == Some(Role::Leaving) {
            project.leaving.retain(|slot| slot.key != key);
            self.owners.remove(&key);
            return self.settle(id);
        }
        let slug = project.slug.clone();
        let draining = self.phase == Phase::Draining;
        let mut restarted = false;
        if let Some(slot) = project.slot_mut(key) {
            slot.task = None;
            if draining {
                slot.life = Life::Ended;
            } else {
                let healthy_after = Duration::from_millis(self.options.healthy_after_ms);
                if matches!(slot.life, Life::Running { since } if since.elapsed() >= healthy_after)
                {
                    slot.failures = 0;
                }
                let delay = self
                    .options
                    .restart()
                    .delay(slot.failures, &mut rand::rng());
                slot.failures = slot.failures.saturating_add(1);
                let reason = match failure {
                    Failure::Panicked(panic) => format!("the worker crashed: {panic}"),
                    Failure::Stalled => format!(
                        "the worker's loop made no turn for {} ms",
                        self.options.stall_limit_ms
                    ),
                    Failure::Unasked => "the worker ended without an order".to_owned(),
                };
                slot.life = Life::Waiting {
                    retry_at: Utc::now() + delay,
                    reason,
                };
                self.restarts.insert((Instant::now() + delay, key));
                restarted = true;
            }
        }
        if restarted {
            project.restarts = project.restarts.saturating_add(1);
            let cause = failure.as_str();
            counter!("trunkline_worker_restarts_total", "tenant" => slug, "cause" => cause)
                .increment(1);
        }
        self.publish(id);
    }

    pub(super) fn restart_due(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.restarts.first() {
            if at > now {
                break;
            }
            self.restarts.pop_first();
            let Some(&id) = self.owners.get(&key) else {
                continue;
            };
            // Taken out while it is launched: the house is borrowed for that.
            let Some(mut project) = self.projects.remove(&id) else {
                continue;
            };
            let desk = project.desk.clone();
            match project.slot_mut(key) {
                Some(slot) => self.launch(slot, desk, Urgency::InTurn),
                // It was let go while it waited.
                None => drop(self.owners.remove(&key)),
            }
            self.projects.insert(id, project);
            self.publish(id);
        }
    }
}
