//! Stamps: small files that say which inputs a finished step saw, so that it is skipped next time.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use super::workspace;

/// The record of one finished step.
pub(crate) struct Stamp {
    file: PathBuf,
    inputs: String,
}

impl Stamp {
    /// A stamp for the step `name` over files and folders, compared by path, length and time of
    /// change; folders are walked without hidden entries, `node_modules` and `dist`.
    pub(crate) fn of_files(name: &str, inputs: &[PathBuf]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        for input in inputs {
            hash_tree(input, &mut hasher)?;
        }
        Ok(Self {
            file: workspace::path("target/xtask/stamps").join(name),
            inputs: format!("{:016x}", hasher.finish()),
        })
    }

    /// A stamp kept in `file` that compares `inputs` word for word.
    pub(crate) fn of_text(file: PathBuf, inputs: String) -> Self {
        Self { file, inputs }
    }

    /// True when the step finished on exactly these inputs before.
    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|found| found == self.inputs)
    }

    /// Records that the step finished.
    pub(crate) fn write(&self) -> Result<()> {
        if let Some(parent) = self.file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&self.file, &self.inputs)
            .with_context(|| format!("cannot write {}", workspace::shown(&self.file)))
    }
}

/// Walks in name order, so that equal trees hash equally.
fn hash_tree(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let meta =
        fs::metadata(path).with_context(|| format!("cannot read {}", workspace::shown(path)))?;
    path.hash(hasher);
    if meta.is_file() {
        meta.len().hash(hasher);
        let changed = meta.modified()?.duration_since(UNIX_EPOCH)?;
        changed.as_nanos().hash(hasher);
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "node_modules" || name == "dist" {
            continue;
        }
        hash_tree(&entry, hasher)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_current_until_an_input_changes() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("input");
        fs::create_dir(&input).unwrap();
        fs::write(input.join("a"), "1").unwrap();
        let stamp = |text: &str| Stamp::of_text(dir.path().join("stamp"), text.to_owned());
        let tree = || {
            Stamp::of_files("x", std::slice::from_ref(&input))
                .unwrap()
                .inputs
        };

        let before = tree();
        assert!(!stamp(&before).is_current());
        stamp(&before).write().unwrap();
        assert!(stamp(&tree()).is_current());
        fs::write(input.join("a"), "22").unwrap();
        assert!(!stamp(&tree()).is_current());
    }

    #[test]
    fn what_builds_make_is_not_an_input() {
        let dir = tempfile::tempdir().unwrap();
        let tree = || {
            Stamp::of_files("x", &[dir.path().to_owned()])
                .unwrap()
                .inputs
        };
        let before = tree();
        for skipped in ["node_modules", "dist", ".cache"] {
            fs::create_dir(dir.path().join(skipped)).unwrap();
            fs::write(dir.path().join(skipped).join("f"), "x").unwrap();
        }
        assert_eq!(before, tree());
    }
}
