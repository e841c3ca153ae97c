use proptest::prelude::*;
use trunkline_domain::TenantFields;
use uuid::Uuid;

use super::*;

/// A tenant whose registration is `key` and whose greeting is `greeting`.
pub(super) fn tenant(n: u8, version: i64, key: u8, greeting: u8) -> Arc<Tenant> {
    let fields = TenantFields {
        version: TenantVersion(version),
        default_config: serde_json::json!({ "startMessage": format!("Hello {greeting}") })
            .to_string(),
        ..TenantFields::new(
            TenantId(Uuid::from_u128(n.into())),
            &format!("t{n}"),
            "ws://127.0.0.1:1",
            &format!("key{key}"),
            "secret".into(),
        )
    };
    Arc::new(Tenant::try_from(fields).unwrap())
}

fn desired(n: u8, version: i64, wish: Wish) -> Desired {
    Desired {
        id: TenantId(Uuid::from_u128(n.into())),
        slug: format!("t{n}"),
        version: TenantVersion(version),
        wish,
    }
}

pub(super) fn invalid() -> Wish {
    Wish::Invalid {
        reason: "slug must be …".into(),
        fault: Fault::Row,
    }
}

#[test]
fn a_slug_that_is_longer_than_any_can_be_is_cut_before_it_is_logged() {
    let mut fields = TenantFields::new(
        TenantId(Uuid::nil()),
        &"x".repeat(100_000),
        "ws://127.0.0.1:1",
        "key",
        "secret".into(),
    );
    fields.version = TenantVersion(2);
    let row = TenantRow {
        id: fields.id,
        slug: fields.slug.clone(),
        version: fields.version,
        enabled: true,
        updated_at: chrono::DateTime::UNIX_EPOCH,
        tenant: Tenant::try_from(fields)
            .map(Arc::new)
            .map_err(trunkline_store::RowProblem::from),
    };
    let plan = plan(&[Desired::from(&row)], &Running::new());
    let shown = plan.to_string();
    assert!(shown.ends_with("x…@2"), "{shown}");
    assert!(shown.chars().count() < 100, "{shown}");
}

/// What runs after a plan was carried out, with every successor still waiting.
fn carry_out(running: &mut Running, plan: &Plan, registration: Registration) {
    for step in &plan.steps {
        let before = running.get(&step.id).map(|o| o.activity.clone());
        let activity = match (&step.action, before) {
            (Action::Start(tenant) | Action::Exchange(tenant) | Action::Revert(tenant), _) => {
                Activity::Serving {
                    current: Arc::clone(tenant),
                    registration,
                    successor: None,
                }
            }
            (
                Action::Apply(tenant),
                Some(Activity::Serving {
                    current,
                    registration,
                    successor,
                }),
            ) => Activity::Serving {
                current: if successor.is_some() {
                    current
                } else {
                    Arc::clone(tenant)
                },
                registration,
                successor: successor.map(|_| Arc::clone(tenant)),
            },
            (
                Action::Succeed(tenant),
                Some(Activity::Serving {
                    current,
                    registration,
                    ..
                }),
            ) => Activity::Serving {
                current,
                registration,
                successor: Some(Arc::clone(tenant)),
            },
            (Action::Hold { .. }, Some(serving @ Activity::Serving { .. })) => serving,
            (Action::Park { .. }, _) => Activity::Parked,
            (Action::Disable, _) => Activity::Disabled,
            (Action::Remove, _) => Activity::Removed,
            (action, before) => panic!("{} does not fit {before:?}", action.verb()),
        };
        running.insert(
            step.id,
            Observed {
                slug: step.slug.clone(),
                version: step.version,
                activity,
            },
        );
    }
}

/// The text of each plan, from an empty process on.
fn texts(snapshots: &[Vec<Desired>], registration: Registration) -> Vec<String> {
    let mut running = Running::new();
    snapshots
        .iter()
        .map(|snapshot| {
            let plan = plan(snapshot, &running);
            carry_out(&mut running, &plan, registration);
            plan.to_string()
        })
        .collect()
}

fn run(n: u8, version: i64, key: u8, greeting: u8) -> Desired {
    desired(n, version, Wish::Run(tenant(n, version, key, greeting)))
}

#[test]
fn rows_are_started_changed_in_place_and_removed() {
    assert_eq!(
        texts(
            &[
                vec![run(1, 1, 1, 1), run(2, 1, 1, 1)],
                vec![run(1, 1, 1, 1), run(2, 1, 1, 1)],
                vec![run(1, 2, 1, 9), run(2, 1, 1, 1)],
                vec![run(1, 2, 1, 9)],
                vec![run(1, 2, 1, 9)],
            ],
            Registration::Held
        ),
        [
            "start t1@1, start t2@1",
            "",
            "apply t1@2",
            "remove t2@1",
            ""
        ]
    );
}

#[test]
fn a_new_registration_is_made_before_the_old_one_is_broken() {
    assert_eq!(
        texts(
            &[
                vec![run(1, 1, 1, 1)],
                vec![run(1, 2, 2, 1)],
                vec![run(1, 3, 2, 5)],
                vec![run(1, 4, 3, 5)],
                vec![run(1, 5, 1, 1)],
            ],
            Registration::Held
        ),
        [
            "start t1@1",
            "succeed t1@2",
            "apply t1@3",
            "succeed t1@4",
            "revert t1@5"
        ]
    );
}

#[test]
fn a_worker_that_is_not_registered_is_exchanged() {
    assert_eq!(
        texts(
            &[vec![run(1, 1, 1, 1)], vec![run(1, 2, 2, 1)]],
            Registration::Missing
        ),
        ["start t1@1", "exchange t1@2"]
    );
}

#[test]
fn a_row_that_turns_wrong_changes_nothing_of_what_runs_and_one_that_never_ran_is_parked() {
    assert_eq!(
        texts(
            &[
                vec![run(1, 1, 1, 1)],
                vec![desired(1, 2, invalid())],
                vec![desired(1, 2, invalid())],
                vec![run(1, 3, 1, 1)],
                vec![desired(1, 4, Wish::Disabled)],
                vec![desired(1, 5, invalid())],
                vec![run(1, 6, 1, 1)],
                vec![],
                vec![run(1, 6, 1, 1)],
            ],
            Registration::Held
        ),
        [
            "start t1@1",
            "hold t1@2",
            "",
            "apply t1@3",
            "disable t1@4",
            "park t1@5",
            "start t1@6",
            "remove t1@6",
            "start t1@6"
        ]
    );
}

#[test]
fn a_long_plan_is_a_short_line() {
    let all: Vec<Desired> = (0..200).map(|n| run(n, 1, 1, 1)).collect();
    let text = plan(&all, &Running::new()).to_string();
    assert!(text.ends_with(" and 190 more"), "{text}");
}

fn wish(n: u8, version: i64) -> impl Strategy<Value = Desired> {
    prop_oneof![
        4 => (0_u8..3, 0_u8..3).prop_map(move |(key, greeting)| run(n, version, key, greeting)),
        1 => Just(desired(n, version, Wish::Disabled)),
        1 => Just(desired(n, version, invalid())),
    ]
}

fn snapshot(version: i64) -> impl Strategy<Value = Vec<Desired>> {
    let rows: Vec<_> = (0..4_u8)
        .map(|n| proptest::option::of(wish(n, version)))
        .collect();
    rows.prop_map(|rows| rows.into_iter().flatten().collect())
}

fn snapshots() -> impl Strategy<Value = Vec<Vec<Desired>>> {
    (1..8_i64).map(snapshot).collect::<Vec<_>>()
}

proptest! {
    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do_and_fits_the_rows(
        history in snapshots(), held: bool,
    ) {
        let registration = if held { Registration::Held } else { Registration::Missing };
        let mut running = Running::new();
        for snapshot in &history {
            let steps = plan(snapshot, &running);
            carry_out(&mut running, &steps, registration);
            let again = plan(snapshot, &running);
            prop_assert!(again.steps.is_empty(), "still to do: {}", again);
            for desired in snapshot {
                let observed = &running[&desired.id];
                prop_assert_eq!(observed.version, desired.version);
                let fits = match (&desired.wish, &observed.activity) {
                    (Wish::Run(tenant), Activity::Serving { current, successor, .. }) => {
                        let newest = successor.as_ref().unwrap_or(current);
                        newest.same_registration(tenant) && newest.version == tenant.version
                    }
                    (Wish::Disabled, Activity::Disabled) => true,
                    (Wish::Invalid { .. }, Activity::Parked | Activity::Serving { .. }) => true,
                    _ => false,
                };
                prop_assert!(fits, "{:?} does not fit", observed);
            }
            let rows = snapshot.len();
            let alive = running.values()
                .filter(|o| !matches!(o.activity, Activity::Removed)).count();
            prop_assert_eq!(rows, alive);
        }
    }
}
