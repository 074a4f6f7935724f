//! `completions`, `man`, and the texts of `--help`.

use super::{program, run};

/// The words of every command, and what its `--help` says.
fn helps(words: Vec<String>, all: &mut Vec<(Vec<String>, String)>) {
    let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let ran = run(program(&args), b"").exits(0);
    let text = ran.stdout;
    let commands = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What is further in goes on with the line before.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    for name in commands {
        helps([&words[..], &[name]].concat(), all);
    }
    all.push((words, text));
}

/// Would catch a help text that a terminal of 80 columns breaks.
#[test]
fn help_fits_into_80_columns() {
    let mut all = Vec::new();
    helps(Vec::new(), &mut all);
    assert!(all.len() > 25, "{}", all.len());
    for (words, text) in all {
        for line in text.lines() {
            let width = line.chars().count();
            assert!(width <= 80, "{} --help: {width}: {line}", words.join(" "));
        }
    }
}

/// Would catch a command without a page, and completions that lack one.
#[test]
fn every_command_has_a_man_page_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    run(program(&["man", directory.to_str().unwrap()]), b"").exits(0);
    let mut all = Vec::new();
    helps(Vec::new(), &mut all);
    let shells = ["bash", "zsh", "fish", "elvish", "powershell"].map(|shell| {
        let ran = run(program(&["completions", shell]), b"").exits(0);
        ran.stdout
    });
    for (words, _) in all {
        let name = [&["haechi-store".to_owned()], &words[..]]
            .concat()
            .join("-");
        let page = std::fs::read_to_string(directory.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{name}: {page}");
        for completions in &shells {
            let last = words.last().map_or("haechi-store", String::as_str);
            assert!(completions.contains(last), "{last}");
        }
    }
    assert!(shells[0].contains("--durability"));
    // Bash asks for the options of a command under the name that it has given it.
    let named = shells[0]
        .lines()
        .filter_map(|line| line.trim().strip_prefix("cmd=\""));
    for name in named.map(|name| name.trim_end_matches('"')) {
        let label = format!("\n        {name})\n");
        assert!(name.is_empty() || shells[0].contains(&label), "{name}");
    }
    run(program(&["completions", "nosuch"]), b"").exits(2);
    run(program(&["man", "/dev/null/x"]), b"").exits(2);
}
