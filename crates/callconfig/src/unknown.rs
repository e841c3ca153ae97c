//! Fields that this version does not know, told once.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use trunkline_domain::TenantId;

/// Sets of fields that are remembered. A backend has one or two; one that
/// invents fields for each call makes us forget, and tell some again.
const MAX_SEEN: usize = 4096;
/// Fields that are named in the log.
const MAX_NAMED: usize = 16;
/// The longest name of a field in the log, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Which tenant's unknown fields were told.
#[derive(Debug, Default)]
pub(crate) struct UnknownFields {
    hasher: RandomState,
    seen: Mutex<HashSet<(TenantId, u64)>>,
}

impl UnknownFields {
    /// The names to be told, unless they were told before or there are none.
    /// Never the values: they are the tenant's.
    pub(crate) fn news(&self, tenant: TenantId, fields: &Map<String, Value>) -> Option<String> {
        if fields.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        let set = self.hasher.hash_one(&names);
        {
            let mut seen = self.seen.lock();
            if seen.len() >= MAX_SEEN {
                seen.clear();
            }
            if !seen.insert((tenant, set)) {
                return None;
            }
        }
        let mut text = names
            .iter()
            .take(MAX_NAMED)
            .map(|name| {
                name.chars()
                    .filter(|c| !c.is_control())
                    .take(MAX_NAME_CHARS)
                    .collect::<String>()
            })
            .collect::<Vec<_>>()
            .join(", ");
        if names.len() > MAX_NAMED {
            text.push_str(&format!(" and {} more", names.len() - MAX_NAMED));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn fields(names: impl IntoIterator<Item = String>) -> Map<String, Value> {
        names
            .into_iter()
            .map(|n| (n, Value::from("secret")))
            .collect()
    }

    fn tenant(n: u128) -> TenantId {
        TenantId(Uuid::from_u128(n))
    }

    #[test]
    fn each_set_of_fields_is_told_once_for_each_tenant() {
        let told = UnknownFields::default();
        let both = fields(["b".to_owned(), "a".to_owned()]);
        assert_eq!(told.news(tenant(1), &both).as_deref(), Some("a, b"));
        assert_eq!(told.news(tenant(1), &both), None);
        assert_eq!(told.news(tenant(2), &both).as_deref(), Some("a, b"));
        let one = fields(["a".to_owned()]);
        assert_eq!(told.news(tenant(1), &one).as_deref(), Some("a"));
        assert_eq!(told.news(tenant(1), &Map::new()), None);
    }

    #[test]
    fn a_backend_that_invents_fields_fills_no_memory() {
        let told = UnknownFields::default();
        for n in 0..3 * MAX_SEEN {
            assert!(told.news(tenant(1), &fields([format!("f{n}")])).is_some());
            assert!(told.seen.lock().len() <= MAX_SEEN);
        }
        let many = fields((0..1000).map(|n| format!("{n:03}\n{}", "x".repeat(5000))));
        let text = told.news(tenant(1), &many).unwrap();
        assert!(text.len() < 2000 && !text.contains('\n'), "{text}");
        assert!(text.ends_with("and 984 more"), "{text}");
    }
}
