//! What a person should know of a tenant that takes calls all the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use trunkline_domain::{CallConfigPatch, Tenant, TenantId, shorten};

/// Fields or tenants that are named, and how long the name of a field may be.
const MAX_NAMED: usize = 10;
const MAX_NAME_CHARS: usize = 64;

/// A tenant as LiveKit knows it: server, key, deployment and agent name.
type Registered<'a> = (String, &'a str, &'a str, &'a str);

/// What there is to say of tenants that LiveKit cannot tell from others. The API and the
/// commands refuse such rows; SQL can write them.
pub(crate) fn twins(
    serving: impl Iterator<Item = (TenantId, Arc<Tenant>)>,
) -> BTreeMap<TenantId, String> {
    let serving: Vec<(TenantId, Arc<Tenant>)> = serving.collect();
    let mut by_name: HashMap<Registered<'_>, Vec<&(TenantId, Arc<Tenant>)>> = HashMap::new();
    for entry in &serving {
        let tenant = &entry.1;
        let server = tenant.project.server();
        let deployment = tenant.deployment.as_ref();
        for name in &tenant.agent_names {
            let registered = (
                server.clone(),
                tenant.project.api_key.as_str(),
                deployment.map_or("", |deployment| deployment.as_str()),
                name.as_str(),
            );
            by_name.entry(registered).or_default().push(entry);
        }
    }
    let mut notes: BTreeMap<TenantId, Vec<String>> = BTreeMap::new();
    let several = by_name.into_iter().filter(|(_, tenants)| tenants.len() > 1);
    for ((.., name), tenants) in several {
        for (id, _) in &tenants {
            let others = tenants.iter().filter(|(other, _)| other != id);
            let mut others: Vec<&str> = others.map(|(_, other)| other.slug.as_str()).collect();
            others.sort_unstable();
            others.truncate(MAX_NAMED);
            notes.entry(*id).or_default().push(format!(
                "{} has the same project and the agent name {name}: LiveKit spreads the calls \
                 over all of them; change agent_names, or disable all but one",
                others.join(", ")
            ));
        }
    }
    let joined = notes.into_iter().map(|(id, mut notes)| {
        notes.sort_unstable();
        (id, notes.join("; "))
    });
    joined.collect()
}

/// What there is to say of fields of `default_config` that this version does not know.
pub(crate) fn unknown_fields(tenant: &Tenant) -> Option<String> {
    let unknown = &tenant.default_config.unknown;
    let names = unknown.keys().take(MAX_NAMED);
    let names: Vec<_> = names.map(|name| shorten(name, MAX_NAME_CHARS)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "default_config: {} not known and without effect; there are {}",
            match names.as_slice() {
                [name] => format!("{name} is"),
                names => format!("{} are", names.join(", ")),
            },
            CallConfigPatch::FIELDS.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use trunkline_domain::TenantFields;
    use uuid::Uuid;

    use super::*;

    fn tenant(n: u128, url: &str, names: &[&str]) -> (TenantId, Arc<Tenant>) {
        let id = TenantId(Uuid::from_u128(n));
        let fields = TenantFields {
            agent_names: names.iter().map(|name| (*name).to_owned()).collect(),
            default_config: r#"{"colour": "red", "voice": "marin"}"#.into(),
            ..TenantFields::new(id, &format!("t{n}"), url, "key", "secret".into())
        };
        (id, Arc::new(Tenant::try_from(fields).unwrap()))
    }

    #[test]
    fn tenants_that_livekit_cannot_tell_apart_are_told_of_each_other() {
        let all = [
            tenant(1, "wss://a.example", &["sales", "support"]),
            tenant(2, "https://A.example:443/", &["support"]),
            tenant(3, "wss://a.example", &["other"]),
            tenant(4, "wss://b.example", &["support"]),
        ];
        let notes = twins(all.into_iter());
        assert_eq!(notes.len(), 2, "{notes:?}");
        let of = |n: u128| &notes[&TenantId(Uuid::from_u128(n))];
        assert!(
            of(1).starts_with("t2 has") && of(1).contains("support"),
            "{notes:?}"
        );
        assert!(of(2).starts_with("t1 has"), "{notes:?}");
    }

    #[test]
    fn unknown_fields_are_named_and_known_ones_are_not() {
        let (_, tenant) = tenant(1, "wss://a.example", &["a"]);
        let note = unknown_fields(&tenant).unwrap();
        assert!(
            note.starts_with("default_config: colour is not known"),
            "{note}"
        );
    }
}
