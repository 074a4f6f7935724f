//! Help texts and main messages, as snapshots.

use super::{Ran, events, on, program, run, tell, with_chain};

#[test]
fn helps() {
    for args in [
        &[][..],
        &["audit"],
        &["audit", "append"],
        &["audit", "verify"],
        &["audit", "export"],
        &["audit", "head"],
        &["audit", "resolve"],
        &["audit", "follow"],
        &["audit", "repair"],
        &["ready"],
        &["bench"],
        &["bench", "audit"],
        &["bench", "vault"],
        &["bench", "sweep"],
        &["completions"],
        &["man"],
        &["vault"],
        &["vault", "tokenize"],
        &["vault", "reveal"],
        &["vault", "detokenize"],
        &["vault", "purge"],
        &["vault", "purge-expired"],
        &["vault", "list"],
        &["vault", "resolve"],
        &["keys"],
        &["keys", "init"],
        &["keys", "rotate"],
        &["keys", "status"],
    ] {
        let ran = run(program(&[args, &["--help"]].concat()), b"").exits(0);
        assert!(ran.stdout.contains("Example"), "{args:?} has no example");
        let name = format!("help_{}", args.join("_"));
        insta::assert_snapshot!(name.trim_end_matches('_'), ran.stdout);
    }
}

#[test]
fn messages() {
    let mut told = String::new();
    let mut tell_of = |what: &str, ran: Ran| {
        let lines: Vec<_> = ran.stderr.lines().map(timeless).collect();
        told.push_str(&format!(
            "# {what} → {}\n{}\n\n",
            ran.code,
            lines.join("\n")
        ));
    };
    let server = with_chain(3);
    let append = |input: &[u8]| on(&server, &["audit", "append"], input);
    tell_of("append: not JSON", append(b"{\"id\":1}\n{\"id\":\n{}\n"));
    tell_of("append: not an object", append(b"[]\n"));
    tell_of("append: a number", append(b"{\"n\":9007199254740993}\n"));
    tell_of("append: too deep", append("[".repeat(1000).as_bytes()));
    let none = ["--redis", "redis://127.0.0.1:1", "--deadline", "0.2"];
    let unreachable = |args: &[&str]| run(program(&[&none, args].concat()), events(2).as_bytes());
    tell_of("append: unreachable", unreachable(&["audit", "append"]));
    tell_of("head: unreachable", unreachable(&["audit", "head"]));
    tell_of("ready: unreachable", unreachable(&["ready"]));
    tell_of("verify: valid", on(&server, &["audit", "verify"], b""));
    tell_of("export: valid", on(&server, &["audit", "export"], b""));
    let chain = on(&server, &["audit", "export"], b"").stdout;
    let verify = |text: &str| {
        run(
            program(&["audit", "verify", "--file", "-"]),
            text.as_bytes(),
        )
    };
    tell_of(
        "verify: changed",
        verify(&chain.replacen("protect", "x", 1)),
    );
    tell_of("verify: cut off", verify(&chain[..chain.len() - 5]));
    tell_of(
        "verify: no file",
        on(&server, &["audit", "verify", "--file", "/none"], b""),
    );
    tell(
        &server,
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"],
    );
    tell_of("append: evicting", append(b"{}\n"));
    tell(&server, &["DEL", "haechi:audit:head"]);
    tell_of("append: diverged", append(b"{}\n"));
    tell_of("verify: diverged", on(&server, &["audit", "verify"], b""));
    tell_of("vault", on(&server, &["vault", "list"], b""));
    let told = told.replace(&server.port().to_string(), "PORT");
    insta::assert_snapshot!("messages", told);
}

/// `text` without durations.
fn timeless(text: &str) -> String {
    match (text.find(" in "), text.find(" a second)")) {
        (Some(start), Some(end)) => format!("{} in TIME{}", &text[..start], &text[end + 10..]),
        _ => text.to_owned(),
    }
}
