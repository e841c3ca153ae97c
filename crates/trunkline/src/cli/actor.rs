//! Who gives the command, for the tenant's history.

use nix::unistd::{Uid, User};
use trunkline_store::Actor;

/// `cli:` and the user's name, as the environment says it, or else the system. It can be given
/// another one: who may change tenants is decided by the database.
pub(in crate::cli) fn actor() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| name_of(Uid::effective()));
    Actor::new(&format!("cli:{name}"))
}

/// A container's user often has no name.
fn name_of(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid:{uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_name_is_told_by_the_number() {
        assert_eq!(name_of(Uid::from_raw(0)), "root");
        assert_eq!(name_of(Uid::from_raw(3_999_999_999)), "uid:3999999999");
    }
}
