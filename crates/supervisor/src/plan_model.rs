//! `plan` in a small model of the supervisor, under random histories: rows
//! change, notices are missed, workers crash, are registered, are refused.
//!
//! The model does what the supervisor does, with numbers for workers. After each
//! event it is looked at:
//! - a tenant whose row did not change keeps its workers;
//! - a plan has at most one step for a tenant, and at most one worker beside the
//!   running one;
//! - a registration that holds is let go for a better one or for the row's word,
//!   and for nothing else: not for a row that cannot be run.
//!
//! In the end, when nothing is refused any more and everything was read, what
//! runs is what the rows say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{invalid, tenant};
use super::*;

const TENANTS: u8 = 4;

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// A row is written. Nobody has read it yet.
    Write(u8, Row),
    /// A row is deleted.
    Delete(u8),
    /// All rows are read: a notice came, or the reconcile was due.
    Read,
    /// The worker of a tenant, or the one beside it, is registered.
    Register(u8, Which),
    /// It is refused, or loses its connection.
    Lose(u8, Which),
    /// It crashes, and another is started in its place with the same row.
    Crash(u8, Which),
    /// A removed tenant's last call is over.
    LastCall(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Current,
    Successor,
}

#[derive(Debug, Clone, Copy)]
enum Row {
    Run { key: u8, greeting: u8 },
    Disabled,
    Invalid,
}

/// A worker, over its crashes.
#[derive(Debug, Clone)]
struct Worker {
    number: u32,
    tenant: Arc<Tenant>,
    registration: Registration,
}

#[derive(Debug, Clone)]
enum Mode {
    Serving {
        current: Worker,
        successor: Option<Worker>,
    },
    Parked,
    Disabled,
    Removed,
}

#[derive(Debug, Clone)]
struct Project {
    version: TenantVersion,
    mode: Mode,
}

#[derive(Debug, Default)]
struct Model {
    version: i64,
    rows: BTreeMap<u8, Desired>,
    projects: BTreeMap<TenantId, Project>,
    hired: u32,
}

impl Worker {
    /// As `Project::apply` does it: what needs no registration is taken.
    fn apply(&mut self, tenant: &Arc<Tenant>) {
        self.tenant = if self.tenant.same_registration(tenant) {
            Arc::clone(tenant)
        } else {
            let old = &self.tenant;
            Arc::new(Tenant {
                project: old.project.clone(),
                agent_names: old.agent_names.clone(),
                deployment: old.deployment.clone(),
                ..Tenant::clone(tenant)
            })
        };
    }
}

impl Mode {
    fn worker(&mut self, which: Which) -> Option<&mut Worker> {
        match (self, which) {
            (Self::Serving { current, .. }, Which::Current) => Some(current),
            (Self::Serving { successor, .. }, Which::Successor) => successor.as_mut(),
            (Self::Parked | Self::Disabled | Self::Removed, _) => None,
        }
    }

    fn numbers(&self) -> Vec<u32> {
        match self {
            Self::Serving { current, successor } => {
                let beside = successor.iter().map(|next| next.number);
                std::iter::once(current.number).chain(beside).collect()
            }
            Self::Parked | Self::Disabled | Self::Removed => Vec::new(),
        }
    }

    fn is_held(&self) -> bool {
        matches!(self, Self::Serving { current, .. } if current.registration == Registration::Held)
    }
}

fn id(n: u8) -> TenantId {
    TenantId(uuid::Uuid::from_u128(n.into()))
}

impl Model {
    fn running(&self) -> Running {
        let observed = |project: &Project| Observed {
            slug: "t".into(),
            version: project.version,
            activity: match &project.mode {
                Mode::Serving { current, successor } => Activity::Serving {
                    current: Arc::clone(&current.tenant),
                    registration: current.registration,
                    successor: successor.as_ref().map(|next| Arc::clone(&next.tenant)),
                },
                Mode::Parked => Activity::Parked,
                Mode::Disabled => Activity::Disabled,
                Mode::Removed => Activity::Removed,
            },
        };
        let projects = self.projects.iter();
        projects
            .map(|(id, project)| (*id, observed(project)))
            .collect()
    }

    fn write(&mut self, n: u8, row: Row) {
        self.version += 1;
        let wish = match row {
            Row::Run { key, greeting } => Wish::Run(tenant(n, self.version, key, greeting)),
            Row::Disabled => Wish::Disabled,
            Row::Invalid => invalid(),
        };
        let desired = Desired {
            id: id(n),
            slug: format!("t{n}"),
            version: TenantVersion(self.version),
            wish,
        };
        self.rows.insert(n, desired);
    }

    /// Reads all rows and carries the plan out. Gives the plan.
    fn read(&mut self) -> Plan {
        let desired: Vec<Desired> = self.rows.values().cloned().collect();
        let plan = plan(&desired, &self.running());
        for step in &plan.steps {
            self.carry_out(step);
        }
        plan
    }

    fn hire(&mut self, tenant: &Arc<Tenant>) -> Worker {
        self.hired += 1;
        Worker {
            number: self.hired,
            tenant: Arc::clone(tenant),
            registration: Registration::Missing,
        }
    }

    fn carry_out(&mut self, step: &Step) {
        let before = self.projects.get(&step.id).map(|p| p.mode.clone());
        let mode = match (&step.action, before) {
            (Action::Start(tenant), None | Some(Mode::Parked | Mode::Disabled | Mode::Removed))
            | (Action::Exchange(tenant), Some(Mode::Serving { .. })) => Mode::Serving {
                current: self.hire(tenant),
                successor: None,
            },
            (
                Action::Apply(tenant),
                Some(Mode::Serving {
                    mut current,
                    mut successor,
                }),
            ) => {
                current.apply(tenant);
                if let Some(next) = &mut successor {
                    next.apply(tenant);
                }
                Mode::Serving { current, successor }
            }
            (Action::Succeed(tenant), Some(Mode::Serving { mut current, .. })) => {
                current.apply(tenant);
                Mode::Serving {
                    current,
                    successor: Some(self.hire(tenant)),
                }
            }
            (
                Action::Revert(tenant),
                Some(Mode::Serving {
                    mut current,
                    successor: Some(_),
                }),
            ) => {
                current.apply(tenant);
                Mode::Serving {
                    current,
                    successor: None,
                }
            }
            (Action::Hold { .. }, Some(serving @ Mode::Serving { .. })) => serving,
            (Action::Park { .. }, _) => Mode::Parked,
            (Action::Disable, _) => Mode::Disabled,
            (Action::Remove, Some(_)) => Mode::Removed,
            (action, before) => panic!("{} does not fit {before:?}", action.verb()),
        };
        let version = step.version;
        self.projects.insert(step.id, Project { version, mode });
    }

    fn worker(&mut self, n: u8, which: Which) -> Option<&mut Worker> {
        self.projects.get_mut(&id(n))?.mode.worker(which)
    }

    fn register(&mut self, n: u8, which: Which) {
        let Some(worker) = self.worker(n, which) else {
            return;
        };
        worker.registration = Registration::Held;
        // As the supervisor does it: the one beside takes over.
        if let Some(Project {
            mode: Mode::Serving { current, successor },
            ..
        }) = self.projects.get_mut(&id(n))
            && which == Which::Successor
            && let Some(next) = successor.take()
        {
            *current = next;
        }
    }

    /// A worker that crashed or lost its connection is not registered; the key of
    /// its slot stays over a restart.
    fn lose(&mut self, n: u8, which: Which) {
        if let Some(worker) = self.worker(n, which) {
            worker.registration = Registration::Missing;
        }
    }

    fn numbers(&self) -> BTreeMap<TenantId, Vec<u32>> {
        let projects = self.projects.iter();
        projects.map(|(id, p)| (*id, p.mode.numbers())).collect()
    }
}

fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        6 => (0_u8..3, 0_u8..3).prop_map(|(key, greeting)| Row::Run { key, greeting }),
        1 => Just(Row::Disabled),
        1 => Just(Row::Invalid),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![Just(Which::Current), Just(Which::Successor)]
}

fn event() -> impl Strategy<Value = Event> {
    let n = || 0..TENANTS;
    prop_oneof![
        4 => (n(), row()).prop_map(|(n, row)| Event::Write(n, row)),
        1 => n().prop_map(Event::Delete),
        4 => Just(Event::Read),
        4 => (n(), which()).prop_map(|(n, which)| Event::Register(n, which)),
        2 => (n(), which()).prop_map(|(n, which)| Event::Lose(n, which)),
        2 => (n(), which()).prop_map(|(n, which)| Event::Crash(n, which)),
        1 => n().prop_map(Event::LastCall),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_what_runs_becomes_what_the_rows_say_and_only_the_changed_restart(
        history in proptest::collection::vec(event(), 0..80),
    ) {
        let mut model = Model::default();
        for event in history {
            match event {
                Event::Write(n, row) => model.write(n, row),
                Event::Delete(n) => drop(model.rows.remove(&n)),
                Event::Register(n, which) => model.register(n, which),
                Event::Lose(n, which) | Event::Crash(n, which) => model.lose(n, which),
                Event::LastCall(n) => {
                    let is_over = model.projects.get(&id(n))
                        .is_some_and(|p| matches!(p.mode, Mode::Removed));
                    if is_over {
                        model.projects.remove(&id(n));
                    }
                }
                Event::Read => read_and_look(&mut model)?,
            }
        }
        // Everything is read and registered in the end, however often it failed.
        read_and_look(&mut model)?;
        for n in 0..TENANTS {
            model.register(n, Which::Current);
            model.register(n, Which::Successor);
        }
        prop_assert!(model.read().steps.is_empty(), "there is nothing left to do");
        for n in 0..TENANTS {
            let mode = model.projects.get(&id(n)).map(|p| &p.mode);
            let fits = match (model.rows.get(&n).map(|row| &row.wish), mode) {
                (Some(Wish::Run(wanted)), Some(Mode::Serving { current, successor: None })) => {
                    current.tenant.same_registration(wanted)
                        && current.tenant.version == wanted.version
                        && current.registration == Registration::Held
                }
                (Some(Wish::Disabled), Some(Mode::Disabled))
                | (Some(Wish::Invalid { .. }), Some(Mode::Parked | Mode::Serving { .. }))
                | (None, None | Some(Mode::Removed)) => true,
                _ => false,
            };
            prop_assert!(fits, "{:?} does not fit {:?}", mode, model.rows.get(&n));
        }
    }
}

fn read_and_look(model: &mut Model) -> Result<(), TestCaseError> {
    let (before, numbers) = (model.projects.clone(), model.numbers());
    let plan = model.read();
    let stepped: BTreeSet<TenantId> = plan.steps.iter().map(|step| step.id).collect();
    prop_assert_eq!(stepped.len(), plan.steps.len(), "two steps for a tenant");
    let after = model.numbers();
    for (id, project) in &before {
        let row = model.rows.values().find(|row| row.id == *id);
        let is_removed = matches!(project.mode, Mode::Removed);
        let unchanged = row.is_some_and(|row| row.version == project.version) && !is_removed;
        if unchanged {
            prop_assert!(!stepped.contains(id), "a step without a change");
            prop_assert_eq!(&numbers[id], &after[id], "restarted without a change");
        }
        // Make before break; and a row that cannot be run breaks nothing.
        let is_to_run =
            row.is_some_and(|row| matches!(row.wish, Wish::Run(_) | Wish::Invalid { .. }));
        if is_to_run && project.mode.is_held() {
            let now = &model.projects[id].mode;
            prop_assert!(now.is_held(), "a registration that held was let go");
            prop_assert_eq!(numbers[id][0], after[id][0]);
        }
    }
    for workers in after.values() {
        prop_assert!(workers.len() <= 2, "one serves, one is beside it");
    }
    prop_assert!(
        model.read().steps.is_empty(),
        "a plan carried out leaves nothing to do"
    );
    Ok(())
}
