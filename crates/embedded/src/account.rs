//! Who the servers run as. PostgreSQL refuses root, so a launcher that is root drops its children
//! to another account; everybody else runs them as themselves.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::error::Error;

/// The accounts that a root launcher may drop to, best first.
const CANDIDATES: [&str; 3] = ["postgres", "_postgres", "nobody"];

/// An unprivileged account that children are dropped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Picks the account for a launcher: none unless it is root. A cluster that is already there
/// stays with its owner, because PostgreSQL opens only its own files.
pub(crate) fn choose(cluster: &Path) -> Result<Option<Account>, Error> {
    let me = Uid::effective();
    let owner = std::fs::metadata(cluster).ok();
    if !me.is_root() {
        return match owner.map(|m| m.uid()) {
            Some(uid) if uid != me.as_raw() => {
                Err(Error::OtherOwner { cluster: cluster.to_path_buf(), owner: uid })
            }
            _ => Ok(None),
        };
    }
    if let Some(found) = owner.filter(|m| m.uid() != 0) {
        return Ok(Some(owner_of(&found)));
    }
    CANDIDATES
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Some(from_user(user)))
        .ok_or(Error::NoAccount)
}

fn from_user(user: User) -> Account {
    Account { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }
}

fn owner_of(found: &Metadata) -> Account {
    let uid = found.uid();
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => from_user(user),
        _ => Account { name: format!("with uid {uid}"), uid, gid: found.gid() },
    }
}

impl Account {
    /// The first folder from the root down to `folder` that this account cannot pass through.
    /// Judged by owner, group and mode, which is all a process without further groups has.
    pub(crate) fn stopped_at(&self, folder: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        way.into_iter()
            .find(|part| {
                std::fs::metadata(part).is_ok_and(|m| {
                    let bit = if m.uid() == self.uid {
                        0o100
                    } else if m.gid() == self.gid {
                        0o010
                    } else {
                        0o001
                    };
                    m.mode() & bit == 0
                })
            })
            .map(Path::to_path_buf)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_closed_parent_is_named() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(&inner, open.clone()).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 4_000_001, gid: 4_000_001 };
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(stranger.stopped_at(&inner), Some(base.path().to_path_buf()));
        std::fs::set_permissions(base.path(), open).unwrap();
        assert_eq!(stranger.stopped_at(&inner), None);
    }
}
