//! `haechi-sim check`: its output and exit codes.

use std::fs;
use std::path::Path;

use haechi_sim::command::Exit;
use haechi_sim::command::check::{CheckArgs, run};

fn program(file: &Path) -> (Exit, String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit = run(
        &CheckArgs {
            file: file.to_owned(),
            report: None,
        },
        &mut stdout,
        &mut stderr,
    )
    .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit, text(stdout), text(stderr))
}

#[test]
fn output_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("h.jsonl");
    fs::write(&file, "{\"type\":\"final\",\"chain\":[]}\n").unwrap();
    let (exit, stdout, stderr) = program(&file);
    assert_eq!(
        (exit as u8, &*stdout),
        (0, "{\"verdict\":\"ok\",\"violations\":[]}\n")
    );
    assert!(stderr.contains("every invariant holds"), "{stderr}");

    let failed = "{\"type\":\"final\",\"chain\":[{\"op\":9,\"sequence\":1,\"eventHash\":\"a\"}]}\n";
    fs::write(&file, failed).unwrap();
    let (exit, stdout, _) = program(&file);
    let expected = "{\"verdict\":\"violation\",\"violations\":[{\"invariant\":\"phantom_append\",\
        \"ops\":[9],\"reason\":\"the record at position 1 came from op 9: never invoked\"}]}\n";
    assert_eq!((exit as u8, &*stdout), (1, expected));

    for (text, code) in [
        ("{\"type\":\"final\"", 1),
        (
            "{\"time\":1,\"process\":\"r\",\"op\":1,\"type\":\"invoke\",\"f\":\"mutate\"}\n\
             {\"type\":\"final\",\"chain\":[]}",
            2,
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (exit, stdout, stderr) = program(&file);
        assert_eq!((exit as u8, &*stdout), (code, ""));
        assert!(!stderr.is_empty());
    }
    let (exit, _, stderr) = program(&folder.path().join("absent"));
    assert_eq!(exit, Exit::Error);
    assert!(stderr.contains("cannot be opened"), "{stderr}");
}
