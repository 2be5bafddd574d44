//! The workspace's crates and what they import, as cargo reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Our crates, each with those of ours that it imports.
#[derive(Debug, Default)]
pub struct Crates {
    /// In what is shipped (ordinary and build dependencies).
    pub shipped: BTreeMap<String, BTreeSet<String>>,
    /// In its tests only.
    pub in_tests: BTreeMap<String, BTreeSet<String>>,
}

impl Crates {
    /// Asks cargo.
    ///
    /// # Errors
    /// What cargo said.
    pub fn read(root: &Path) -> Result<Self, String> {
        let text = cargo(root, &["metadata", "--no-deps", "--format-version", "1"])?;
        let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
        let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
        let ours: BTreeSet<String> = packages.iter().map(name).collect();
        let mut crates = Self::default();
        for package in &packages {
            let shipped = crates.shipped.entry(name(package)).or_default();
            let in_tests = crates.in_tests.entry(name(package)).or_default();
            for dependency in package["dependencies"].as_array().into_iter().flatten() {
                if !ours.contains(&name(dependency)) {
                    continue;
                }
                let side = if dependency["kind"] == "dev" { &mut *in_tests } else { &mut *shipped };
                side.insert(name(dependency));
            }
        }
        Ok(crates)
    }

    /// Everything of ours that is shipped with a crate.
    #[must_use]
    pub fn reach(&self, name: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            for further in self.shipped.get(&name).into_iter().flatten() {
                if reached.insert(further.clone()) {
                    next.push(further.clone());
                }
            }
        }
        reached
    }
}

/// Names of all packages, ours and others', that are shipped with a crate on this machine.
///
/// # Errors
/// What cargo said.
pub fn tree(root: &Path, name: &str) -> Result<BTreeSet<String>, String> {
    let text = cargo(
        root,
        &[
            "tree",
            "--offline",
            "--package",
            name,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    )?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
