//! One launcher per data folder, and how another process finds the servers of a running one.
//! The lock is the kernel's (`flock`), so it ends with its holder, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::folders::Folders;
use crate::urls;

/// Somebody who only looks (see [`find_running`]) holds a shared lock for an instant.
const PATIENCE: Duration = Duration::from_millis(300);

/// A held lock; dropped, it is free.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock and notes this process in it; also gives the socket folder that the last
    /// holder noted. Waits a moment, because onlookers also lock for an instant.
    pub(crate) fn take(folders: &Folders) -> Result<(Self, Option<PathBuf>), Error> {
        let path = folders.lock();
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(Error::io("open", &path))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => {
                    let previous = read(&mut file).and_then(|(_, sockets)| sockets);
                    let mut lock = Self { file, path };
                    lock.write("")?;
                    return Ok((lock, previous));
                }
                // Its last holder removed the folder's contents meanwhile: take the new file.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if Instant::now() > give_up {
                        return Err(Error::InUse {
                            data_dir: folders.data.clone(),
                            pid: read(&mut file).map_or(0, |(pid, _)| pid),
                        });
                    }
                    sleep(Duration::from_millis(10));
                }
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path)(e)),
            }
        }
    }

    /// Notes where the sockets are, once servers answer there.
    pub(crate) fn note(&mut self, sockets: &Path) -> Result<(), Error> {
        self.write(&sockets.display().to_string())
    }

    fn write(&mut self, sockets: &str) -> Result<(), Error> {
        let text = format!("{}\n{sockets}\n", std::process::id());
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write(&mut self.file).map_err(Error::io("write", &self.path))
    }
}

/// Whether the open file is still the one at that path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => open.dev() == there.dev() && open.ino() == there.ino(),
        _ => false,
    }
}

fn read(file: &mut File) -> Option<(u32, Option<PathBuf>)> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok()?;
    let sockets = lines.next().filter(|line| !line.is_empty());
    Some((pid, sockets.map(PathBuf::from)))
}

/// The servers of a launcher that runs now in another process (or in this one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The launcher's process id.
    pub pid: u32,
    sockets: PathBuf,
}

impl Running {
    /// Address of a database, as [`Servers::database_url`](crate::Servers::database_url) gives
    /// for a PostgreSQL of ours.
    pub fn database_url(&self, user: &str, database: &str) -> String {
        urls::postgres_socket(&self.sockets, user, database)
    }

    /// Address of the Valkey.
    pub fn redis_url(&self) -> String {
        urls::redis_socket(&self.sockets.join("valkey.sock"))
    }
}

/// Looks for a launcher on `data_dir`, so that a second command can use its servers. `None` when
/// nobody holds the folder. A server that the launcher was given from outside is not behind these
/// addresses.
///
/// # Errors
/// When the lock file is there but cannot be read.
pub fn find_running(data_dir: &Path) -> Result<Option<Running>, Error> {
    let path = data_dir.join("lock");
    let mut file = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("open", &path))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            Ok(read(&mut file).and_then(|(pid, sockets)| Some(Running { pid, sockets: sockets? })))
        }
        Err(TryLockError::Error(e)) => Err(Error::io("lock", &path)(e)),
    }
}
