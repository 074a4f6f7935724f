//! The packages that are published, made and unpacked outside of this workspace.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
};

use crate::process::{cargo_command, succeeds};

/// The packages that are published, each after those that it depends on.
pub(crate) const PACKAGES: [&str; 4] = [
    "haechi-history",
    "redis-sim",
    "haechi-store-redis",
    "haechi-sim",
];

/// All have the version of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Without it the program of haechi-sim is an error, and its worlds are not repeated exactly.
/// In this workspace `.cargo/config.toml` has it.
pub(crate) const FLAGS: &[(&str, &str)] = &[("RUSTFLAGS", "--cfg tokio_unstable")];

/// A temporary folder with the contents of each tarball, removed when dropped.
pub(crate) struct Unpacked(PathBuf);

impl Unpacked {
    /// Packs and unpacks; `None` if cargo does not pack without a warning.
    pub(crate) fn new() -> io::Result<Option<Self>> {
        if !are_packed()? {
            return Ok(None);
        }
        let folder = Self(env::temp_dir().join(format!("haechi-packages-{}", process::id())));
        fs::create_dir_all(&folder.0)?;
        for package in PACKAGES {
            let tarball = target()?.join(format!("package/{package}-{VERSION}.crate"));
            let size = fs::metadata(&tarball)?.len();
            println!("{}: {size} bytes", tarball.display());
            let unpack = &mut Command::new("tar");
            // With the time of now: cargo would take older files for those that it has built.
            if !succeeds(unpack.arg("xzmf").arg(tarball).arg("-C").arg(&folder.0)) {
                return Err(io::Error::other("tar does not unpack it"));
            }
        }
        Ok(Some(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What is left is only in the way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes the tarballs; fails on a warning, too.
fn are_packed() -> io::Result<bool> {
    let names = PACKAGES.map(|package| format!("-p {package}")).join(" ");
    let words = format!("package --allow-dirty --no-verify {names}");
    let packed = cargo_command(&words, &[] as &[(&str, &str)]).output()?;
    let printed = String::from_utf8_lossy(&packed.stderr);
    print!("{printed}");
    Ok(packed.status.success() && !printed.contains("warning:"))
}

/// Where cargo builds.
pub(crate) fn target() -> io::Result<PathBuf> {
    let given = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    std::path::absolute(given)
}

/// In place of what a registry has under these names, `up` from their folder.
pub(crate) fn patch(up: &str) -> String {
    let paths = PACKAGES.map(|package| format!("{package}.path = \"{up}{package}-{VERSION}\"\n"));
    format!("[patch.crates-io]\n{}", paths.concat())
}
