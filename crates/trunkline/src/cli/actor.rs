//! Who gives the command, for the tenant's history.

use trunkline_store::Actor;

/// `cli:` and the user's name, as the system says it. It can be given another one:
/// who may change tenants is decided by the database.
pub(in crate::cli) fn actor() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|name| !name.is_empty()));
    Actor::new(&format!("cli:{}", name.as_deref().unwrap_or("unknown")))
}
