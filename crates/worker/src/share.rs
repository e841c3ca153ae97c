//! Who gets a place when places are short. A pure function over counts.
//!
//! Policy:
//! - Up to [`PRESSURE_PERCENT`] of the capacity everybody who asks gets a place: an idle
//!   process is not kept idle.
//! - Beyond it a tenant gets one only while it has fewer than its fair share,
//!   which is the capacity divided by the tenants that have calls.
//! - The last [`RESERVED_PERCENT`] go to tenants that have no call at all. So many are kept
//!   as there are tenants without a call, and no more: a process with a single
//!   tenant gives it everything.
//!
//! What was given is never taken back: a storm that began in an idle process may
//! hold more than its share until its calls end.

/// From how full on shares are looked at, in percent of the capacity. Below, one tenant's storm
/// leaves every other one a fifth of the process.
const PRESSURE_PERCENT: u64 = 80;

/// What is kept for tenants without a call, in percent of the capacity; at least
/// one place.
const RESERVED_PERCENT: u64 = 5;

/// How the process stands when a tenant asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Places that there are.
    pub(crate) capacity: u32,
    /// Places that are taken, of all tenants together.
    pub(crate) taken: u32,
    /// Tenants that the process serves, the asking one included.
    pub(crate) tenants: u32,
    /// Tenants with at least one place, whether or not the asking one is among
    /// them.
    pub(crate) active: u32,
    /// Places of the asking tenant.
    pub(crate) own: u32,
}

/// What the asking tenant gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A place.
    Admitted,
    /// None: there is none.
    Full,
    /// None: what is left is for the others.
    BeyondShare,
}

/// Whether a tenant gets a place.
pub(crate) fn judge(standing: Standing) -> Verdict {
    let Standing {
        capacity,
        taken,
        tenants,
        active,
        own,
    } = standing;
    let free = capacity.saturating_sub(taken);
    if free == 0 {
        return Verdict::Full;
    }
    let line = u64::from(capacity) * PRESSURE_PERCENT / 100;
    if own == 0 || u64::from(taken) < line {
        return Verdict::Admitted;
    }
    let without_calls = tenants.saturating_sub(active);
    let fair = (capacity / active.max(1)).max(1);
    if free <= reserved(capacity).min(without_calls) || own >= fair {
        Verdict::BeyondShare
    } else {
        Verdict::Admitted
    }
}

/// Places that are kept at the most.
fn reserved(capacity: u32) -> u32 {
    let part = u64::from(capacity) * RESERVED_PERCENT / 100;
    u32::try_from(part).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default)]
    struct Process {
        capacity: u32,
        tenants: u32,
        own: HashMap<u32, u32>,
    }

    impl Process {
        fn new(capacity: u32, tenants: u32) -> Self {
            Self {
                capacity,
                tenants,
                own: HashMap::new(),
            }
        }

        fn standing(&self, tenant: u32) -> Standing {
            Standing {
                capacity: self.capacity,
                taken: self.own.values().sum(),
                tenants: self.tenants,
                active: u32::try_from(self.own.values().filter(|n| **n > 0).count()).unwrap(),
                own: self.own.get(&tenant).copied().unwrap_or(0),
            }
        }

        fn ask(&mut self, tenant: u32) -> Verdict {
            let verdict = judge(self.standing(tenant));
            if verdict == Verdict::Admitted {
                *self.own.entry(tenant).or_default() += 1;
            }
            verdict
        }

        fn storm(&mut self, tenant: u32) -> u32 {
            for _ in 0..=self.capacity {
                self.ask(tenant);
            }
            self.own.get(&tenant).copied().unwrap_or(0)
        }

        fn end(&mut self, tenant: u32) {
            if let Some(own) = self.own.get_mut(&tenant) {
                *own = own.saturating_sub(1);
            }
        }
    }

    #[test]
    fn a_storm_stops_where_the_room_of_the_others_begins() {
        let mut process = Process::new(100, 20);
        assert_eq!(process.storm(1), 95, "five are kept for who has no call");
        for tenant in 2..7 {
            assert_eq!(process.ask(tenant), Verdict::Admitted);
        }
        assert_eq!(process.ask(7), Verdict::Full);
        // What the storm gives back it does not get again.
        for _ in 0..5 {
            process.end(1);
        }
        assert_eq!(process.ask(1), Verdict::BeyondShare);
        assert_eq!(
            process.ask(2),
            Verdict::BeyondShare,
            "14 have no call, and there is room for five"
        );
        assert_eq!(process.ask(8), Verdict::Admitted);
    }

    #[test]
    fn a_single_tenant_has_the_whole_process() {
        assert_eq!(Process::new(7, 1).storm(1), 7);
        assert_eq!(
            Process::new(1, 3).storm(1),
            1,
            "there is no second place to keep"
        );
    }

    #[test]
    fn two_storms_share() {
        let mut process = Process::new(100, 2);
        for _ in 0..100 {
            process.ask(1);
            process.ask(2);
        }
        assert_eq!((process.own[&1], process.own[&2]), (50, 50));
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_nobody_takes_the_last_places_of_the_others(
            capacity in 1_u32..60,
            tenants in 1_u32..12,
            steps in proptest::collection::vec((0_u32..12, 0_u8..4), 1..400),
        ) {
            let mut process = Process::new(capacity, tenants);
            for (tenant, step) in steps {
                let tenant = tenant % tenants;
                if step == 0 {
                    process.end(tenant);
                    continue;
                }
                let before = process.standing(tenant);
                let verdict = process.ask(tenant);
                let after = process.standing(tenant);
                prop_assert!(after.taken <= capacity);
                match verdict {
                    Verdict::Full => prop_assert_eq!(before.taken, capacity),
                    Verdict::BeyondShare => {
                        prop_assert!(before.own > 0, "a tenant without a call gets one");
                        prop_assert!(u64::from(before.taken) * 100 + 100
                            > u64::from(capacity) * PRESSURE_PERCENT, "there was no pressure");
                    }
                    Verdict::Admitted if before.own > 0
                        && u64::from(before.taken) >= u64::from(capacity) * PRESSURE_PERCENT / 100 =>
                    {
                        prop_assert!(before.own < (capacity / before.active).max(1));
                        let without = tenants - after.active;
                        prop_assert!(
                            capacity - after.taken >= reserved(capacity).min(without),
                            "the room of {} without a call is gone", without
                        );
                    }
                    Verdict::Admitted => {}
                }
            }
        }

        #[test]
        fn after_any_one_storm_another_tenant_still_gets_in(
            capacity in 2_u32..500, tenants in 2_u32..100, calm in 0_u32..100,
        ) {
            let mut process = Process::new(capacity, tenants);
            // Calm tenants have one call each, and at least one has none.
            for tenant in 2..(2 + calm.min(tenants - 2).min(capacity - 2)) {
                prop_assert_eq!(process.ask(tenant), Verdict::Admitted);
            }
            process.storm(0);
            prop_assert_eq!(process.ask(1), Verdict::Admitted);
        }
    }
}
