//! Making keys: the missing ones, or a newer one in front of the others.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{auth_keys, checkpoint_key, checkpoint_public_key, disk, opening_keys, sealing_keys};
use crate::kind::{AUDIT, AUDIT_PUBLIC, AUTH, Kind, VAULT, VAULT_PUBLIC};
use crate::{OpeningKeys, VaultError, checkpoint, opening, text};

/// Makes the folder (0700) and every file that is missing in it, and never writes over one: a second run
/// changes nothing. Gives the files it made, in order.
///
/// # Errors
/// [`VaultError::HalfThere`] when only the public half of a pair is there, [`VaultError::Mismatch`] when the
/// halves do not belong together, [`VaultError::FolderOpenToOthers`], and what is wrong with a file that is
/// there.
pub fn init(dir: &Path) -> Result<Vec<PathBuf>, VaultError> {
    let _lock = disk::lock_folder(dir)?;
    let mut made = Vec::new();
    // Everything that is there is looked at before anything is made.
    for (private, public) in [(VAULT, VAULT_PUBLIC), (AUDIT, AUDIT_PUBLIC)] {
        let (private, public) = (dir.join(private.file), dir.join(public.file));
        if !disk::is_there(&private)? && disk::is_there(&public)? {
            return Err(VaultError::HalfThere { public, private });
        }
    }
    make(dir, VAULT, &mut made, opening::generate)?;
    let opening = opening_keys(dir)?;
    make(dir, VAULT_PUBLIC, &mut made, || Ok(Zeroizing::new(opening.public_pem())))?;
    if sealing_keys(dir)?.ids() != opening.ids() {
        return Err(mismatch(dir, VAULT_PUBLIC, VAULT));
    }
    make(dir, AUTH, &mut made, || {
        Ok(Zeroizing::new(format!("# One key a line, the newest first.\n{}\n", new_auth_key()?.as_str())))
    })?;
    auth_keys(dir)?;
    make(dir, AUDIT, &mut made, checkpoint::generate)?;
    let signing = checkpoint_key(dir)?;
    make(dir, AUDIT_PUBLIC, &mut made, || Ok(Zeroizing::new(format!("{}\n", signing.public()))))?;
    if &checkpoint_public_key(dir)? != signing.public() {
        return Err(mismatch(dir, AUDIT_PUBLIC, AUDIT));
    }
    Ok(made)
}

/// Puts a new key in front of those in `vault.pem` and `vault.pub.pem`, and gives its id. Whoever opens has
/// to load it before whoever seals does: restart the workers first, then the API, then rewrap.
///
/// # Errors
/// [`VaultError::NoFile`] when there is no `vault.pem` yet ([`init`] makes it), and what is wrong with it.
pub fn add_vault_key(dir: &Path) -> Result<String, VaultError> {
    let path = dir.join(VAULT.file);
    let before = disk::read(&path, VAULT)?;
    OpeningKeys::from_pem(&before, &path.display().to_string())?;
    // Slow, so before the lock is taken; the file is read again under it.
    let block = opening::generate()?;
    let _lock = disk::lock_folder(dir)?;
    let before = disk::read(&path, VAULT)?;
    let text = Zeroizing::new(format!("{}{}", block.as_str(), before.as_str()));
    let keys = OpeningKeys::from_pem(&text, &path.display().to_string())?;
    let id = keys.ids().first().map(|id| (*id).to_owned()).ok_or(VaultError::Library("name a key"))?;
    disk::replace(dir, VAULT, &text)?;
    // If this stops here, `init` says what to do; what is sealed meanwhile still opens.
    disk::replace(dir, VAULT_PUBLIC, &keys.public_pem())?;
    Ok(id)
}

/// Puts a new key in front of those in `auth.keys`, and gives its id. Every process of the API has to load it
/// before one uses it, or the others refuse what it made: add it, then restart them all.
///
/// # Errors
/// [`VaultError::NoFile`] when there is no `auth.keys` yet ([`init`] makes it), and what is wrong with it.
pub fn add_auth_key(dir: &Path) -> Result<String, VaultError> {
    // Refuses before it makes a folder that nobody has.
    auth_keys(dir)?;
    let _lock = disk::lock_folder(dir)?;
    let path = dir.join(AUTH.file);
    let before = disk::read(&path, AUTH)?;
    // Behind the comments at the top.
    let top: usize = before
        .split_inclusive('\n')
        .take_while(|line| line.trim_start().starts_with('#'))
        .map(str::len)
        .sum();
    let (comments, keys) = before.split_at(top);
    let end = if comments.is_empty() || comments.ends_with('\n') { "" } else { "\n" };
    let text = Zeroizing::new(format!("{comments}{end}{}\n{keys}", new_auth_key()?.as_str()));
    let ring = crate::AuthKeys::from_lines(&text, &path.display().to_string())?;
    let id = ring.ids().first().map(|id| (*id).to_owned()).ok_or(VaultError::Library("name a key"))?;
    disk::replace(dir, AUTH, &text)?;
    Ok(id)
}

fn make(
    dir: &Path,
    kind: Kind,
    made: &mut Vec<PathBuf>,
    text: impl Fn() -> Result<Zeroizing<String>, VaultError>,
) -> Result<(), VaultError> {
    let path = dir.join(kind.file);
    if !disk::is_there(&path)? {
        disk::write_new(dir, kind, &text()?)?;
        made.push(path);
    }
    Ok(())
}

fn mismatch(dir: &Path, public: Kind, private: Kind) -> VaultError {
    VaultError::Mismatch { public: dir.join(public.file), private: dir.join(private.file) }
}

fn new_auth_key() -> Result<Zeroizing<String>, VaultError> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| VaultError::Library("make a random key"))?;
    Ok(text::base64_line(&key))
}
