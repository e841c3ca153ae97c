//! Is the tenant's agent registered? The replicas say so; LiveKit has no call for it.

use trunkline_domain::Tenant;

use super::report::{Check, CheckName};

const NAME: CheckName = CheckName::Agent;

/// What one replica said lately of a tenant's workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The replica's name.
    pub replica: String,
    /// What tells it from another process of the same name.
    pub instance: Option<String>,
    /// For instance `registered`.
    pub state: String,
    /// Why, where the state has a reason.
    pub reason: Option<String>,
    /// The version of the row that is in effect there.
    pub version: Option<i64>,
}

/// Whether a call would find the tenant's agent.
pub fn judge_registrations(tenant: &Tenant, registrations: &[Registration]) -> Check {
    let names = names(tenant);
    if !tenant.enabled {
        return Check::failed(
            NAME,
            format!("{names} is not registered: the tenant is disabled"),
            format!("trunkline tenant enable {}", tenant.slug),
        );
    }
    if registrations.is_empty() {
        return Check::failed(
            NAME,
            format!("{names} is not registered: no replica has reported lately"),
            "start `trunkline serve`; where it runs, look at its log",
        );
    }
    let told = |registration: &Registration| {
        let (state, replica) = (&registration.state, place(registration, registrations));
        match &registration.reason {
            Some(reason) => format!("{state} on {replica}: {reason}"),
            None => format!("{state} on {replica}"),
        }
    };
    let registered: Vec<&Registration> = registrations
        .iter()
        .filter(|registration| registration.state == "registered")
        .collect();
    if registered.is_empty() {
        let states: Vec<String> = registrations.iter().map(told).collect();
        return Check::failed(
            NAME,
            format!("{names} is not registered: {}", states.join("; ")),
            "the states and what to do about each are in docs/operations.md",
        );
    }
    let version = tenant.version.0;
    let current = |registration: &&&Registration| registration.version == Some(version);
    if registered.iter().find(current).is_none() {
        let states: Vec<String> = registered.iter().copied().map(told).collect();
        return Check::failed(
            NAME,
            format!(
                "version {version} of the row, with the agent {names}, is in effect nowhere: {}, \
                 with an earlier version",
                states.join("; ")
            ),
            "a change takes effect within a second where `trunkline serve` runs and reaches the \
             database; else the reason is in `trunkline tenant list`",
        );
    }
    match registrations
        .iter()
        .find(|r| r.reason.is_some() || r.state != "registered" || r.version != Some(version))
    {
        Some(other) => Check::warning(
            NAME,
            format!(
                "{names} is registered, but {}",
                remark(other, registrations, version)
            ),
            "see `trunkline tenant list`",
        ),
        None => Check::ok(
            NAME,
            format!("{names} is registered ({} replicas)", registered.len()),
        ),
    }
}

/// What is odd about a replica beside others that have the agent registered.
fn remark(other: &Registration, all: &[Registration], version: i64) -> String {
    let replica = place(other, all);
    let reason = other.reason.as_deref();
    match (other.state.as_str(), reason) {
        ("registered", Some(reason)) => format!("{replica} says: {reason}"),
        ("registered", None) => match other.version {
            Some(old) => format!("{replica} has it in version {old} of the row, not {version}"),
            None => format!("{replica} does not say in which version of the row"),
        },
        (state, Some(reason)) => format!("on {replica} it is {state}: {reason}"),
        (state, None) => format!("on {replica} it is {state}"),
    }
}

/// A replica's name, with what tells it apart where several have that name.
fn place(registration: &Registration, all: &[Registration]) -> String {
    let name = &registration.replica;
    let namesakes = all.iter().filter(|other| other.replica == *name).count();
    match &registration.instance {
        Some(instance) if namesakes > 1 => format!("{name} (process {instance})"),
        _ => name.clone(),
    }
}

fn names(tenant: &Tenant) -> String {
    let names: Vec<String> = tenant.agent_names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use trunkline_domain::{TenantFields, TenantId, TenantVersion};

    use super::super::report::CheckStatus;
    use super::*;

    fn tenant(enabled: bool) -> Tenant {
        Tenant::try_from(TenantFields {
            version: TenantVersion(3),
            enabled,
            ..TenantFields::new(
                TenantId(uuid::Uuid::nil()),
                "acme",
                "wss://acme.example",
                "key",
                "secret".into(),
            )
        })
        .unwrap()
    }

    fn said(state: &str, version: i64, reason: Option<&str>) -> Registration {
        Registration {
            replica: "web-1".to_owned(),
            instance: Some("0a1b".to_owned()),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            version: Some(version),
        }
    }

    #[test]
    fn an_agent_is_registered_when_a_replica_has_it_in_the_rows_version() {
        let fine = said("registered", 3, None);
        for (enabled, said, status, words) in [
            (true, vec![fine.clone()], CheckStatus::Ok, "is registered"),
            (false, vec![fine.clone()], CheckStatus::Failed, "disabled"),
            (true, vec![], CheckStatus::Failed, "no replica"),
            (
                true,
                vec![said("backing_off", 3, Some("refused"))],
                CheckStatus::Failed,
                "backing_off on web-1: refused",
            ),
            (
                true,
                vec![said("registered", 2, Some("still on version 2"))],
                CheckStatus::Failed,
                "still on version 2",
            ),
            (
                true,
                vec![fine, said("connecting", 3, None)],
                CheckStatus::Warning,
                "on web-1 (process 0a1b) it is connecting",
            ),
        ] {
            let check = judge_registrations(&tenant(enabled), &said);
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.detail.contains(words), "{check:?}");
            assert!(check.detail.contains("pstn-voice-agent"), "{check:?}");
        }
    }

    #[test]
    fn of_two_processes_of_one_name_it_is_told_which_one_is_meant() {
        let mut gone = said("registered", 2, None);
        gone.instance = Some("9f9f".to_owned());
        let check = judge_registrations(&tenant(true), &[said("registered", 3, None), gone]);
        assert_eq!(check.status, CheckStatus::Warning);
        let told = "but web-1 (process 9f9f) has it in version 2 of the row, not 3";
        assert!(check.detail.ends_with(told), "{check:?}");
        let full = said("registered", 3, Some("full since noon"));
        let check = judge_registrations(&tenant(true), &[full]);
        assert!(
            check.detail.ends_with("but web-1 says: full since noon"),
            "{check:?}"
        );
    }
}
