//! Files of a generated workspace. What has not changed is not written, so that
//! cargo does not build it again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

/// Makes a file have this content.
///
/// # Errors
/// When it cannot be written.
pub fn write_if_changed(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the directory {}", parent.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the directory `to` a copy of `from`: what `from` does not have goes.
///
/// # Errors
/// When something cannot be read, written or removed.
pub fn mirror(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)
        .with_context(|| format!("cannot make the directory {}", to.display()))?;
    let mut names = BTreeSet::<OsString>::new();
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            mirror(&entry.path(), &target)?;
        } else {
            write_if_changed(&target, &fs::read(entry.path())?)?;
        }
        names.insert(entry.file_name());
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if names.contains(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes `link` a symbolic link to `to`.
///
/// # Errors
/// When something else is in its place, or it cannot be made.
pub fn link(to: &Path, link: &Path) -> anyhow::Result<()> {
    match fs::read_link(link) {
        Ok(present) if present == to => return Ok(()),
        Ok(_) => fs::remove_file(link)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("{} is no link", link.display()));
        }
    }
    std::os::unix::fs::symlink(to, link)
        .with_context(|| format!("cannot make the link {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_what_its_source_has_and_leaves_the_same_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        write_if_changed(&from.join("deep/same"), b"same").expect("written");
        write_if_changed(&from.join("changed"), b"new").expect("written");
        write_if_changed(&to.join("deep/same"), b"same").expect("written");
        write_if_changed(&to.join("changed"), b"old").expect("written");
        write_if_changed(&to.join("gone/file"), b"gone").expect("written");
        let before = fs::metadata(to.join("deep/same"))
            .expect("there")
            .modified()
            .expect("known");

        mirror(&from, &to).expect("mirrored");

        assert_eq!(fs::read(to.join("changed")).expect("there"), b"new");
        assert!(!to.join("gone").exists());
        let after = fs::metadata(to.join("deep/same"))
            .expect("there")
            .modified()
            .expect("known");
        assert_eq!(before, after);
    }

    #[test]
    fn a_link_is_made_once_and_follows_its_target() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().join("link");
        for target in ["/a", "/a", "/b"] {
            link(Path::new(target), &at).expect("linked");
            assert_eq!(fs::read_link(&at).expect("a link"), Path::new(target));
        }
    }
}
