//! Repositories whose key is a file that the first run makes.

use std::fs;
use std::path::Path;

use saas_backup_core::{ErrorKind, Result};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions};
use secrecy::ExposeSecret as _;

/// Opens the repository, or makes it.
///
/// # Errors
///
/// If the storage cannot be reached, or the key is another repository's.
pub async fn repository(url: &str, key: &Path) -> Result<Repository> {
    let options = RepositoryOptions::parse(url)?.with_keys(Keys::owner(identity(key)?));
    match Repository::open(options.clone()).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Repository::init(options).await,
        opened => opened,
    }
}

/// The key in the file, or a new one that is kept there.
fn identity(file: &Path) -> Result<Identity> {
    if file.exists() {
        return Identity::parse(&fs::read_to_string(file)?);
    }
    let identity = Identity::generate();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(file)?, identity.to_file().expose_secret().as_bytes())?;
    println!("made the key {}: keep a copy where the backup is not\n", file.display());
    Ok(identity)
}
