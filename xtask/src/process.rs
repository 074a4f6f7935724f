//! Starting other programs.

use std::{
    env,
    ffi::{OsStr, OsString},
    process::{Command, Stdio},
};

/// The cargo that runs this program, with further environment.
pub(crate) fn cargo_command(words: &str, environment: &[(&str, impl AsRef<OsStr>)]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    println!("+ cargo {words}");
    let mut command = Command::new(program);
    command
        .args(words.split(' '))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // Set by the cargo that runs this program.
        .env_remove("CARGO_MANIFEST_DIR");
    command
}

/// Runs cargo; returns whether it succeeded.
pub(crate) fn cargo(words: &str, environment: &[(&str, &str)]) -> bool {
    let status = cargo_command(words, environment).status();
    status.is_ok_and(|status| status.success())
}

/// Runs cargo; returns what it printed to stdout, which is not shown.
pub(crate) fn cargo_stdout(words: &str, environment: &[(&str, OsString)]) -> String {
    let output = cargo_command(words, environment)
        .stderr(Stdio::inherit())
        .output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Whether a program succeeds, without its output.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether there is a redis-server, and jq, which sessions in documents use; installs them
/// with apt-get if possible.
pub(crate) fn redis_server() -> bool {
    let found = || {
        let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        succeeds(Command::new(program).arg("--version"))
            && succeeds(Command::new("jq").arg("--version"))
    };
    if found() {
        return true;
    }
    println!("no redis-server or no jq; trying apt-get");
    let install = "export DEBIAN_FRONTEND=noninteractive; \
                   run() { if [ \"$(id -u)\" = 0 ]; then \"$@\"; else sudo -n \"$@\"; fi; }; \
                   run apt-get update -qq && run apt-get install -y -qq --no-install-recommends redis-server jq";
    succeeds(Command::new("sh").args(["-c", install]));
    if !found() {
        println!(
            "redis-server or jq is missing: install them (brew install redis jq, dnf install redis jq, …), or set REDIS_SERVER to its path"
        );
    }
    found()
}
