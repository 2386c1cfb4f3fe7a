//! Where the checkout, its target folder and its servers' private folder are.

use crate::command::{self, User};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The checkout that this command was built from.
pub struct Project {
    /// The checkout's root.
    pub root: PathBuf,
    /// Cargo's target folder, which also holds everything else that a command makes.
    pub target: PathBuf,
    /// The extension's version.
    pub version: &'static str,
}

impl Project {
    /// Finds the checkout from where Cargo says that this package is.
    pub fn find() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here.join("../..");
        let root = root
            .canonicalize()
            .with_context(|| format!("no checkout at {}", root.display()))?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
        Ok(Self {
            root,
            target,
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// The folder that holds the private servers, and the user that they run as when this command
    /// runs as root (PostgreSQL refuses root).
    ///
    /// It lies under target/, except where the server's user cannot reach that: then a folder of
    /// this checkout's own under /var/tmp.
    pub fn servers(&self) -> Result<(PathBuf, Option<User>)> {
        let user = command::server_user()?;
        let inside = self.target.join("pg");
        fs::create_dir_all(&inside).with_context(|| format!("cannot make {}", inside.display()))?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o755))?;
        let Some(server_user) = &user else {
            return Ok((inside, user));
        };
        if command::reachable(&inside, server_user)? {
            return Ok((inside, user));
        }
        let outside = PathBuf::from(format!(
            "/var/tmp/pgnear-{:016x}",
            hash(self.root.as_os_str().as_encoded_bytes())
        ));
        own_folder(&outside)?;
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| {
            println!(
                "The user {} cannot read {}: private servers go to {}",
                server_user.name,
                inside.display(),
                outside.display()
            );
        });
        Ok((outside, user))
    }
}

/// Makes a folder in a place that everybody may write to, and refuses one that somebody else made:
/// programs are run from it.
fn own_folder(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path)?;
            if !found.is_dir() || found.uid() != command::uid()? || found.mode() & 0o022 != 0 {
                bail!(
                    "{} exists and is not a folder of this user's alone",
                    path.display()
                );
            }
        }
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
    Ok(())
}

/// FNV-1a, 64 bits: names and change stamps that stay the same from one toolchain to the next.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
