//! Checks of tenants that are under way: few at once, and one of a tenant.
//!
//! A check opens connections to outside. Who asks for many must not use up the
//! process's descriptors, ring a backend's door all day, or take the places of the
//! other tenants.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use trunkline_domain::TenantId;

use super::problem::Problem;

/// How many run at once. Each has some four connections open.
const MAX_CHECKS: usize = 8;

/// When who was refused may ask again: most checks take a second or two.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Those under way. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Checks {
    under_way: Arc<Mutex<HashSet<TenantId>>>,
}

/// A check under way, until it is dropped.
pub(crate) struct UnderWay {
    checks: Checks,
    tenant: TenantId,
}

impl Checks {
    /// Takes a place for a check of this tenant.
    pub(crate) fn begin(&self, tenant: TenantId) -> Result<UnderWay, Problem> {
        let mut under_way = self.under_way.lock();
        if under_way.contains(&tenant) {
            let detail = "a check of this tenant is under way";
            return Err(Problem::too_many(detail, RETRY_AFTER));
        }
        if under_way.len() >= MAX_CHECKS {
            let detail = "too many checks are under way on this replica";
            return Err(Problem::too_many(detail, RETRY_AFTER));
        }
        under_way.insert(tenant);
        Ok(UnderWay {
            checks: self.clone(),
            tenant,
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.checks.under_way.lock().remove(&self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenant_has_one_check_at_a_time_and_all_together_have_a_few() {
        let checks = Checks::default();
        let tenant = |n: usize| TenantId(Uuid::from_u128(n as u128));
        let mut under_way: Vec<UnderWay> = (0..MAX_CHECKS)
            .map(|n| checks.begin(tenant(n)).ok().unwrap())
            .collect();
        assert!(checks.begin(tenant(0)).is_err());
        assert!(checks.begin(tenant(MAX_CHECKS)).is_err());
        under_way.remove(0);
        assert!(checks.begin(tenant(1)).is_err());
        under_way.push(checks.begin(tenant(MAX_CHECKS)).ok().unwrap());
        under_way.clear();
        assert!(checks.begin(tenant(1)).is_ok());
    }
}
