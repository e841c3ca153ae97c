//! Somebody else to be, for servers that refuse to run as root.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Accounts that exist for this, best first.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The account that stands in for us when we are root; `None` when we are not.
///
/// `ours` is a file or directory that we made: its owner tells who we are.
///
/// # Errors
/// When we are root and this machine has no suitable account.
pub(crate) fn unprivileged_user(ours: &Path) -> anyhow::Result<Option<User>> {
    let we_are = std::fs::metadata(ours)
        .with_context(|| format!("cannot look at {}", ours.display()))?
        .uid();
    if we_are != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    pick(&accounts).map(Some).with_context(|| {
        format!(
            "this server refuses to run as root, and none of the accounts {} exists",
            CANDIDATES.join(", ")
        )
    })
}

fn pick(accounts: &str) -> Option<User> {
    let users: Vec<User> = accounts.lines().filter_map(parse).collect();
    CANDIDATES
        .iter()
        .find_map(|name| {
            users
                .iter()
                .find(|user| user.name == *name && user.uid != 0)
        })
        .cloned()
}

fn parse(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    Some(User {
        name: fields.next()?.to_owned(),
        uid: fields.nth(1)?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_postgres_account_is_preferred_to_nobody() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\
                        nobody:x:65534:65533:nobody:/:/usr/sbin/nologin\n\
                        postgres:x:101:104:PostgreSQL,,,:/var/lib:/bin/sh\n";
        let user = pick(accounts).expect("an account");
        assert_eq!(
            (user.name.as_str(), user.uid, user.gid),
            ("postgres", 101, 104)
        );
    }

    #[test]
    fn an_account_that_is_root_under_another_name_is_not_taken() {
        assert_eq!(pick("nobody:x:0:0::/:/bin/sh\n"), None);
    }
}
