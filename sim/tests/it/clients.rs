//! Client libraries of other languages on `haechi-sim serve`.
//!
//! Skipped, with a message, where there is no Python, node, pip, npm, network, or Go with redigo.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use redis_sim::server_process::{RedisServer, skip};

use crate::serve::Served;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a command that has to succeed; `None`, and a message, if it does not.
fn installed(command: &mut Command) -> Option<()> {
    let said = match command.output() {
        Ok(output) if output.status.success() => return Some(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skip(format!(
        "the clients cannot be installed: {command:?}: {said}"
    ));
    None
}

/// redis-py, installed once for all runs.
fn python() -> Option<&'static Path> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-python");
        if !place.join("redis").exists() {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--timeout=20",
                "--retries=1",
            ]);
            installed(pip.arg("--target").arg(&place).arg("redis"))?;
        }
        Some(place)
    };
    PLACE.get_or_init(install).as_deref()
}

/// node-redis and ioredis, likewise, beside the scripts that use them.
fn node() -> Option<&'static Path> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-node");
        std::fs::create_dir_all(&place).unwrap();
        for file in std::fs::read_dir(scripts()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), place.join(file.file_name())).unwrap();
        }
        if !place.join("node_modules/ioredis").exists()
            || !place.join("node_modules/redis").exists()
        {
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund"]);
            npm.args(["--fetch-timeout=20000", "--fetch-retries=1"]);
            installed(npm.current_dir(&place))?;
        }
        Some(place)
    };
    PLACE.get_or_init(install).as_deref()
}

/// The folder for `GOPATH` that has redigo: of `$GOPATH`, or that of Debian's packages.
fn redigo() -> Option<PathBuf> {
    let given = std::env::var_os("GOPATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&given).chain([PathBuf::from("/usr/share/gocode")]);
    let found = folders.find(|folder| folder.join("src/github.com/gomodule/redigo").exists());
    let has_go = Command::new("go").arg("version").output().is_ok();
    let found = found.filter(|_| has_go);
    if found.is_none() {
        skip("no Go with redigo: apt-get install golang-go golang-github-gomodule-redigo-dev");
    }
    found
}

/// What one of the scripts says, in its language, on this server; `None` if it cannot run.
fn said(script: &str, port: u16) -> Option<String> {
    let mut command;
    match script.rsplit_once('.').unwrap().1 {
        "py" => {
            command = Command::new("python3");
            command.env("PYTHONPATH", python()?);
            command.arg(scripts().join(script));
        }
        "go" => {
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-go");
            command = Command::new("go");
            // Packages in a folder, without modules, which would come from the network.
            command.env("GO111MODULE", "off").env("GOPATH", redigo()?);
            command.env("GOCACHE", cache);
            command.arg("run").arg(scripts().join(script));
        }
        _ => {
            command = Command::new("node");
            command.current_dir(node()?).arg(script);
        }
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.env("PORT", port.to_string()).output().unwrap();
    let (said, errors) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{script}: {said}\n{errors}");
    print!("{said}");
    Some(said)
}

/// Would catch a lost reply that does not reach a client as one: the increment has run, the client
/// sends it again, and the counter is one too high.
#[test]
fn a_lost_reply_doubles_a_naive_increment() {
    let plan = scripts().join("lost_reply.json");
    for script in [
        "lost_reply.py",
        "lost_reply_node_redis.mjs",
        "lost_reply_ioredis.mjs",
        "lost_reply_redigo.go",
    ] {
        let served = Served::start_with(&["--faults", plan.to_str().unwrap()]);
        let Some(said) = said(script, served.port) else {
            continue;
        };
        assert!(said.ends_with(": 5 orders, counted 6\n"), "{said}");
        let log = served.log();
        let what = "fault 1 reset_after_execution at write 3: connection 1, ";
        let then = " ran (:3), closed before its reply";
        assert!(
            log.len() == 1 && log[0].starts_with(what) && log[0].ends_with(then),
            "{log:?}"
        );
    }
}

/// Would catch what only these clients send, or how only they read it: connections set up in both
/// protocols, databases, values of all types, scripts, pipelines, transactions, channels, blocking pops. The
/// scripts run on redis-server too, so that they expect nothing else.
#[test]
fn clients_of_other_languages_work_with_it() {
    for script in ["redis_py.py", "node_redis.mjs", "ioredis.mjs", "redigo.go"] {
        let (real, served) = (RedisServer::start().unwrap(), Served::start());
        for port in [real.port(), served.port] {
            if let Some(said) = said(script, port) {
                assert!(said.ends_with(": ok\n"), "{said}");
            }
        }
    }
}
