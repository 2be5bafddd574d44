//! Reading and writing single files: modes checked on the open file, whole files or none, durable before
//! they count.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::VaultError;
use crate::kind::Kind;

/// A file with keys is a few kilobytes; more is something else.
const MAX_BYTES: u64 = 1024 * 1024;

/// The text of a file with keys.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Zeroizing<String>, VaultError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(VaultError::NoFile { path: path.to_path_buf(), what: kind.what });
        }
        Err(error) => return Err(VaultError::io("open", path)(error)),
    };
    let about = file.metadata().map_err(VaultError::io("look at", path))?;
    if !about.is_file() {
        return Err(VaultError::format(&path.display().to_string(), "it is not a file"));
    }
    let mode = about.mode() & 0o777;
    if kind.private && mode & 0o077 != 0 {
        return Err(VaultError::OpenToOthers { path: path.to_path_buf(), mode });
    }
    if about.len() > MAX_BYTES {
        return Err(VaultError::format(&path.display().to_string(), "it is too large for a file with keys"));
    }
    // Room for all of it at once, so that no half of it is left behind where the buffer was before.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(VaultError::io("read", path))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(VaultError::format(&path.display().to_string(), "it is not text")),
    }
}

/// The folder, made with mode 0700 where it is missing, locked until the result is dropped: two that
/// change keys at the same moment wait for each other.
pub(super) fn lock_folder(dir: &Path) -> Result<File, VaultError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(VaultError::io("create", dir))?;
    let folder = File::open(dir).map_err(VaultError::io("open", dir))?;
    let mode = folder.metadata().map_err(VaultError::io("look at", dir))?.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(VaultError::FolderOpenToOthers { path: dir.to_path_buf(), mode });
    }
    folder.lock().map_err(VaultError::io("lock", dir))?;
    Ok(folder)
}

/// Whether something is there, be it a dangling link.
pub(super) fn is_there(path: &Path) -> Result<bool, VaultError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(VaultError::io("look at", path)(error)),
    }
}

/// Writes a file that must not be there yet.
pub(super) fn write_new(dir: &Path, kind: Kind, text: &str) -> Result<(), VaultError> {
    let path = dir.join(kind.file);
    let owner = fs::metadata(dir).map_err(VaultError::io("look at", dir))?;
    let written = write(dir, kind, text, &owner)?;
    written.persist_noclobber(&path).map_err(|error| VaultError::io("write", &path)(error.error))?;
    settle(dir)
}

/// Puts a new version of a file where the old one is, in one step.
pub(super) fn replace(dir: &Path, kind: Kind, text: &str) -> Result<(), VaultError> {
    let path = dir.join(kind.file);
    let owner =
        fs::metadata(&path).or_else(|_| fs::metadata(dir)).map_err(VaultError::io("look at", &path))?;
    let written = write(dir, kind, text, &owner)?;
    written.persist(&path).map_err(|error| VaultError::io("write", &path)(error.error))?;
    settle(dir)
}

/// A temporary file beside the final one, complete and on disk. When root makes it, it belongs to whom the
/// earlier file or the folder belongs to, or the service that reads it could not.
fn write(dir: &Path, kind: Kind, text: &str, owner: &fs::Metadata) -> Result<NamedTempFile, VaultError> {
    let path = dir.join(kind.file);
    let failed = |doing| VaultError::io(doing, &path);
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .map_err(failed("write"))?;
    file.write_all(text.as_bytes()).map_err(failed("write"))?;
    let mine = file.as_file().metadata().map_err(failed("look at"))?;
    if mine.uid() == 0 && owner.uid() != 0 {
        fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))
            .map_err(failed("change the owner of"))?;
    }
    let mode = if kind.private { 0o600 } else { 0o644 };
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(failed("set the mode of"))?;
    file.as_file().sync_all().map_err(failed("write"))?;
    Ok(file)
}

/// Makes the folder's new entry survive a power cut.
fn settle(dir: &Path) -> Result<(), VaultError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(VaultError::io("write", dir))
}
