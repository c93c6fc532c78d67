//! Private files: made for their owner only, replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// Creates a directory for its owner only, and its parents. One that is there must be private already.
pub fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    check_private(path, 0o700)
}

/// Creates an empty file for its owner only, unless it is there.
pub fn create_private(path: &Path) -> io::Result<()> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private(path, 0o600),
        other => other.map(drop),
    }
}

/// Replaces a file, or creates it: after a crash there is the old one or the new one, whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file =
        private(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes a file that is not there yet, for others to read, too.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Tries whether files can be made in a directory.
pub fn is_writable(directory: &Path) -> io::Result<()> {
    let path = directory.join("check.new");
    private(OpenOptions::new().write(true).create(true).truncate(true)).open(&path)?;
    fs::remove_file(path)
}

/// Leaves a file to its owner only.
#[cfg(unix)]
pub fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Reads a file that must be private; `None` if there is none. Refuses one longer than `max`.
pub fn read_private(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    check_private(path, 0o600)?;
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is too long",
        )),
        false => Ok(Some(bytes)),
    }
}

/// Bytes that this process may still write on the disk that a path is on, if the system says.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Bytes that this process may still write on the disk that a path is on, if the system says.
#[cfg(not(unix))]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Refuses what others may read: silence about a leaked key would be worse than not starting.
#[cfg(unix)]
fn check_private(path: &Path, expected: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "others may read it (mode {mode:03o}); run: chmod {expected:o} {}",
                path.display()
            ),
        )),
    }
}

#[cfg(not(unix))]
fn check_private(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert_eq!(read_private(&path, 10).unwrap(), None);
        write_private(&path, b"one").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(read_private(&path, 6).unwrap().unwrap(), b"second");
        assert!(read_private(&path, 5).is_err(), "longer than it may be");
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, b"secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_private(&path, 10).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let nested = directory.path().join("a/b");
        private_directory(&nested).unwrap();
        private_directory(&nested).unwrap();
        fs::set_permissions(&nested, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(
            private_directory(&nested)
                .unwrap_err()
                .to_string()
                .contains("chmod 700")
        );
    }
}
