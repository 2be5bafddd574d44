//! The layout of a data folder, who owns which part, and where the sockets are.
//!
//! ```text
//! <data>/lock        launcher's pid and socket folder; locked while it runs
//! <data>/kept        there when the data is meant to stay
//! <data>/postgres/   the cluster            (servers' account, 0700)
//! <data>/valkey/     the append-only file   (servers' account, 0700)
//! <data>/run/        sockets                (0700; as root 0710: the account and root's group)
//! <data>/log/        what the servers print (launcher, 0700)
//! ```
//! It never changes or removes anything else in that folder.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use crate::account::{self, Account};
use crate::error::Error;

/// Socket paths have about 100 usable bytes (104 on macOS, 108 on Linux, with the final zero).
const SOCKET_PATH_LIMIT: usize = 100;
const POSTGRES_SOCKET: &str = ".s.PGSQL.5432";
const SHORT_PREFIX: &str = "countersign-";
const ROOT_EXAMPLE: &str = "/var/lib/countersign";

/// The places of one data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    pub(crate) data: PathBuf,
    /// Who owns the servers' parts; none: the launcher itself.
    pub(crate) account: Option<Account>,
    /// Where the sockets are; set by [`Folders::open_sockets`].
    pub(crate) sockets: PathBuf,
}

impl Folders {
    /// Makes the data folder itself and finds out who the servers will be. Nothing inside is
    /// touched before the lock is held.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        let wanted = std::path::absolute(data_dir).map_err(Error::io("find the folder", data_dir))?;
        let root = Uid::effective().is_root();
        make_open(&wanted, if root { 0o711 } else { 0o700 })?;
        let data = fs::canonicalize(&wanted).map_err(Error::io("find the folder", &wanted))?;
        let account = account::choose(&data.join("postgres"))?;
        let folders = Self { sockets: data.join("run"), data, account };
        folders.check_reachable()?;
        Ok(folders)
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.data.join("postgres")
    }

    pub(crate) fn valkey(&self) -> PathBuf {
        self.data.join("valkey")
    }

    pub(crate) fn valkey_pid(&self) -> PathBuf {
        self.data.join("valkey.pid")
    }

    pub(crate) fn log(&self, server: &str) -> PathBuf {
        self.data.join("log").join(format!("{server}.log"))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    pub(crate) fn valkey_socket(&self) -> PathBuf {
        self.sockets.join("valkey.sock")
    }

    /// A data folder of root's that only root may enter is opened for passing through when it is
    /// plainly ours; any other closed folder on the way is the user's decision, so it is refused.
    fn check_reachable(&self) -> Result<(), Error> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        let Some(closed) = account.stopped_at(&self.data) else {
            return Ok(());
        };
        if closed == self.data && self.is_ours() {
            let mode = fs::metadata(&closed).map_err(Error::io("look at", &closed))?.mode();
            set_mode(&closed, mode | 0o011)?;
            return Ok(());
        }
        Err(Error::Closed {
            account: account.name.clone(),
            folder: self.data.clone(),
            closed,
            example: ROOT_EXAMPLE,
        })
    }

    /// Empty, or used by an earlier start.
    fn is_ours(&self) -> bool {
        self.lock().exists() || fs::read_dir(&self.data).is_ok_and(|mut inside| inside.next().is_none())
    }

    /// Refuses to remove data later that an earlier start meant to keep, and notes which it is.
    pub(crate) fn note_keep(&self, keep: bool) -> Result<(), Error> {
        let note = self.data.join("kept");
        if keep {
            fs::write(&note, "").map_err(Error::io("write", &note))
        } else if note.exists() {
            Err(Error::WouldRemove { data_dir: self.data.clone() })
        } else {
            Ok(())
        }
    }

    /// Makes the log folder and Valkey's, and an empty one for the sockets: inside the data
    /// folder if their paths stay short enough, otherwise a private one in a short place.
    pub(crate) fn prepare(&mut self) -> Result<(), Error> {
        make(&self.data.join("log"), 0o700)?;
        for server in ["postgres", "valkey"] {
            start_new_log(&self.log(server))?;
        }
        let valkey = self.valkey();
        if !valkey.exists() {
            self.make_for_servers(&valkey)?;
        }
        let near = self.data.join("run");
        if near.join(POSTGRES_SOCKET).as_os_str().as_bytes().len() < SOCKET_PATH_LIMIT {
            remove(&near)?;
            self.make_for_servers(&near)?;
            self.sockets = near;
        } else {
            let base = short_place(self.account.is_none());
            self.sockets = tempfile::Builder::new()
                .prefix(SHORT_PREFIX)
                .rand_bytes(8)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(&base)
                .map_err(Error::io("create a folder for sockets in", &base))?
                .keep();
        }
        if let Some(account) = &self.account {
            // Root's own group may enter as well: root in a container can lack the right to
            // pass through other users' closed folders.
            own(&self.sockets, account.uid, Gid::effective().as_raw())?;
            set_mode(&self.sockets, 0o710)?;
        }
        Ok(())
    }

    /// A new folder that belongs to the servers alone.
    pub(crate) fn make_for_servers(&self, folder: &Path) -> Result<(), Error> {
        make(folder, 0o700)?;
        match &self.account {
            Some(account) => own(folder, account.uid, account.gid),
            None => Ok(()),
        }
    }

    /// Removes the socket folder of a start that ended without removing it, if it was one of the
    /// private ones elsewhere. The path comes from a file, so it is checked before it is trusted.
    pub(crate) fn remove_old_sockets(&self, folder: &Path) -> Result<(), Error> {
        let me = Uid::effective().as_raw();
        let owner = self.account.as_ref().map_or(me, |account| account.uid);
        let named =
            folder.file_name().is_some_and(|name| name.as_bytes().starts_with(SHORT_PREFIX.as_bytes()));
        let private =
            fs::symlink_metadata(folder).is_ok_and(|m| m.is_dir() && (m.uid() == owner || m.uid() == me));
        if named && private && !folder.starts_with(&self.data) {
            remove(folder)?;
        }
        Ok(())
    }

    /// Removes the socket folder, as after every stop.
    pub(crate) fn close_sockets(&self) -> Result<(), Error> {
        remove(&self.sockets)
    }

    /// Removes everything that a start makes, and the data folder if nothing else is in it.
    pub(crate) fn remove_data(&self) -> Result<(), Error> {
        for name in ["postgres", "postgres.unfinished", "valkey", "run", "log"] {
            remove(&self.data.join(name))?;
        }
        for file in [self.valkey_pid(), self.lock()] {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &file)(e));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.data) {
            Err(e) if e.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
                Err(Error::io("remove", &self.data)(e))
            }
            _ => Ok(()),
        }
    }
}

/// Puts a log aside that has grown long; one older is kept.
fn start_new_log(log: &Path) -> Result<(), Error> {
    const LONG: u64 = 10_000_000;
    if fs::metadata(log).is_ok_and(|m| m.len() > LONG) {
        fs::rename(log, log.with_extension("old.log")).map_err(Error::io("rename", log))?;
    }
    Ok(())
}

/// A short folder in which a private one can be made.
fn short_place(own_account: bool) -> PathBuf {
    let me = Uid::effective().as_raw();
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        // With another account below, root's own runtime folder would be closed to it.
        .filter(|folder| own_account && folder.is_absolute() && folder.as_os_str().len() < 50)
        .filter(|folder| fs::metadata(folder).is_ok_and(|m| m.is_dir() && m.uid() == me))
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Makes a folder and its missing parents. As root, parents are passable whatever the umask, or
/// the servers' account could not get to what is inside.
pub(crate) fn make_open(folder: &Path, mode: u32) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_open(parent, 0o755)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => set_mode(folder, mode),
        // Another process was quicker.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(e) => Err(Error::io("create", folder)(e)),
    }
}

fn make(folder: &Path, mode: u32) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    set_mode(folder, mode)
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
}

fn own(path: &Path, uid: u32, gid: u32) -> Result<(), Error> {
    chown(path, Some(uid), Some(gid)).map_err(Error::io("change the owner of", path))
}

/// Removes a folder with everything in it; none there is fine.
pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder)(e)),
        _ => Ok(()),
    }
}
