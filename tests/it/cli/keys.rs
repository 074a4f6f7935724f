//! `keys init`, `rotate` and `status`, which need no Redis.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use super::{Ran, program, run};

fn keys(command: &str, file: &Path) -> Ran {
    let file = file.to_str().unwrap();
    run(program(&["keys", command, "--key-file", file]), b"")
}

/// The secret of each key of the file.
fn secrets(file: &Path) -> Vec<String> {
    let text: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let secret = |key: &Value| key["k"].as_str().unwrap().to_owned();
    text["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(secret)
        .collect()
}

/// Would catch a command that prints a key, output that scripts cannot parse,
/// and a rotation that loses the previous key.
#[test]
fn init_rotate_and_status() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let init = keys("init", &file).exits(0);
    assert!(init.stderr.contains("keep a copy"), "{init:?}");
    let made = init.answer();
    assert_eq!(
        (&made["status"], &made["used"]),
        (&"active".into(), &0.into())
    );
    assert_eq!(made["limit"], 1_u64 << 32);
    assert!(made["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let rotate = keys("rotate", &file).exits(0);
    let rotated = rotate.answer();
    assert_eq!(rotated["retired"], json!([made["kid"]]));
    assert_ne!(rotated["kid"], made["kid"]);

    let status = keys("status", &file).exits(0);
    assert_eq!(status.stderr, "");
    let listed = status.answer();
    let [active, retired] = &listed["keys"].as_array().unwrap()[..] else {
        panic!("{listed}");
    };
    assert_eq!(active["kid"], rotated["kid"]);
    assert_eq!(
        (&retired["kid"], &retired["status"]),
        (&made["kid"], &"retired".into())
    );
    // With --json too there is one line, the result.
    let path = file.to_str().unwrap();
    let json = run(
        program(&["keys", "status", "--json", "--key-file", path]),
        b"",
    );
    assert_eq!(json.exits(0).answer(), listed);

    let secrets = secrets(&file);
    assert_eq!(secrets.len(), 2);
    for ran in [&init, &rotate, &status] {
        for secret in &secrets {
            assert!(!format!("{ran:?}").contains(secret.as_str()), "{ran:?}");
        }
    }
}

/// Would catch a refusal that is reported as success or as an outage, and a
/// file that is changed nevertheless.
#[test]
fn refusals() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let mut told = String::new();
    let mut tell = |what: &str, code: i32, ran: Ran| {
        let ran = ran.exits(code);
        assert_eq!(ran.stdout, "");
        let said = ran
            .stderr
            .replace(directory.path().to_str().unwrap(), "DIR");
        told.push_str(&format!("# {what} → {code}\n{said}\n"));
    };
    tell("status: no file", 2, keys("status", &file));
    tell("rotate: no file", 2, keys("rotate", &file));
    tell(
        "init: no directory",
        2,
        keys("init", &directory.path().join("none/keys.json")),
    );
    keys("init", &file).exits(0);
    let before = fs::read(&file).unwrap();
    tell("init: there is one", 1, keys("init", &file));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    tell("status: open to others", 1, keys("status", &file));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::write(&file, &before[..before.len() / 2]).unwrap();
    tell("rotate: cut off", 1, keys("rotate", &file));
    assert_eq!(fs::read(&file).unwrap(), before[..before.len() / 2]);
    insta::assert_snapshot!(told);
    run(program(&["keys", "status"]), b"").exits(2);
    run(program(&["keys"]), b"").exits(2);
}

/// Would catch a command that waits for ever for the other end of a FIFO.
#[test]
fn a_fifo_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for command in ["init", "rotate", "status"] {
        let mut limited = std::process::Command::new("timeout");
        limited.args(["20", env!("CARGO_BIN_EXE_haechi-store"), "keys", command]);
        limited.arg("--key-file").arg(&fifo);
        let ran = run(limited, b"").exits(2);
        assert!(ran.stderr.contains("not a regular file"), "{ran:?}");
    }
}

/// Would catch a key that reaches its limit without a warning.
#[test]
fn a_worn_key_causes_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    keys("init", &file).exits(0);
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    text["keys"][0]["usage"] = (1_u64 << 31).into();
    fs::write(&file, text.to_string()).unwrap();
    let status = keys("status", &file).exits(0);
    assert_eq!(status.answer()["keys"][0]["used"], 1_u64 << 31);
    assert!(status.stderr.contains("keys rotate"), "{status:?}");
}
