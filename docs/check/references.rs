//! What a requirement may point at, and whether it is there.
//!
//! | written | is there when |
//! |---|---|
//! | `route:POST /v1/jobs` | `docs/openapi.json` has that method on that path |
//! | `table:job` | a migration makes that table |
//! | `kind:webhooks.deliver` | a source file below `jobs/src` declares that kind |
//! | `metric:countersign_queue_depth` | `crates/telemetry` declares it |
//! | `test:path` or `test:path#name` | the file is there (and holds a test function of that name) |
//! | `file:path` | the file or folder is there |
//! | `screen:path` | the admin's page is there |

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::files;

/// Knows what is there.
pub struct Things {
    root: PathBuf,
    openapi: Value,
    migrations: String,
    jobs: String,
    metrics: String,
}

impl Things {
    /// Reads the project below `root`.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let all = |folder: &str, extension: &str| {
            files(&root.join(folder), extension)
                .iter()
                .filter_map(|path| std::fs::read_to_string(path).ok())
                .collect::<Vec<_>>()
                .join("\n")
        };
        Self {
            root: root.to_path_buf(),
            openapi: serde_json::from_str(&text("docs/openapi.json")).unwrap_or_default(),
            migrations: all("migrations", "sql"),
            jobs: all("jobs/src", "rs"),
            metrics: text("crates/telemetry/src/names.rs"),
        }
    }

    /// Says what is wrong with a reference, if anything.
    ///
    /// # Errors
    /// A sentence: what was looked for, and where.
    pub fn check(&self, reference: &str) -> Result<(), String> {
        let Some((sort, what)) = reference.split_once(':') else {
            return Err(format!("`{reference}` does not read sort:thing"));
        };
        let is_there = match sort {
            "route" => self.has_route(what),
            "table" => self.migrations.contains(&format!("CREATE TABLE {what} (")),
            "kind" => self.jobs.contains(&format!("const KIND: &'static str = \"{what}\"")),
            "metric" => self.metrics.contains(&format!("\"{what}\"")),
            "test" => return self.has_test(what),
            "file" | "screen" => self.root.join(what).exists(),
            _ => return Err(format!("`{reference}`: there is no sort “{sort}”")),
        };
        if is_there { Ok(()) } else { Err(format!("`{reference}` is not there")) }
    }

    fn has_route(&self, what: &str) -> bool {
        let Some((method, path)) = what.split_once(' ') else { return false };
        self.openapi["paths"][path].get(method.to_lowercase()).is_some()
    }

    fn has_test(&self, what: &str) -> Result<(), String> {
        let (path, name) = what.split_once('#').map_or((what, None), |(path, name)| (path, Some(name)));
        let Ok(source) = std::fs::read_to_string(self.root.join(path)) else {
            return Err(format!("`test:{what}`: there is no file {path}"));
        };
        match name {
            Some(name) if !source.contains(&format!("fn {name}(")) => {
                Err(format!("`test:{what}`: {path} has no function {name}"))
            }
            None if path.ends_with(".rs") && !source.contains("test]") && !source.contains("test(") => {
                Err(format!("`test:{what}`: {path} holds no test"))
            }
            _ => Ok(()),
        }
    }
}
