//! `haechi-sim serve --faults`: plans as files, and what each fault does on the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use haechi_sim::plan::{CountedFault, CountedPlan};

use crate::serve::{Served, serve};

/// Would catch a seed that gives another plan the next time, and a plan that is changed by writing
/// and reading it.
#[test]
fn a_seed_gives_one_plan_which_is_read_back_as_it_was_written() {
    for seed in 0..200 {
        let plan = CountedPlan::draw(seed);
        assert_eq!(plan, CountedPlan::draw(seed));
        let text = plan.to_text().unwrap();
        assert_eq!(CountedPlan::parse(&text).unwrap(), plan, "{text}");
    }
    assert_ne!(CountedPlan::draw(1), CountedPlan::draw(2));
    let printed = serve("0")
        .args(["--faults", "7", "--print-plan"])
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, CountedPlan::draw(7).to_text().unwrap());
}

/// Would catch a file that is served although it does not say what to do.
#[test]
fn an_invalid_plan_is_refused_and_says_what_to_do() {
    for (fault, expected) in [
        (
            r#"{"kind":"late_reply","nth":1}"#,
            "fault 1 (late_reply): add \"ms\"",
        ),
        (r#"{"kind":"readonly","nth":1,"lasts":0}"#, "add \"lasts\""),
        (
            r#"{"kind":"flushed","nth":1}"#,
            "\"flushed\" is not a fault",
        ),
        (
            r#"{"kind":"partition","nth":1}"#,
            "serve cannot do that; it can reset_before_execution, ",
        ),
        (
            r#"{"kind":"script_flush","nth":0}"#,
            "set \"nth\" to 1 or more",
        ),
        (
            r#"{"kind":"script_flush","nth":1,"of":"INCRX"}"#,
            "\"INCRX\" is no command",
        ),
        (
            r#"{"kind":"script_flush","nth":1,"loses":1}"#,
            "it has no \"loses\"; leave that out",
        ),
        (
            r#"{"kind":"error_after_execution","nth":1,"error":"ERR a\r\n+OK"}"#,
            "add \"error\", a line that begins",
        ),
        (
            r#"{"kind":"script_flush","nth":1,"when":1}"#,
            "unknown field `when`",
        ),
    ] {
        let text = format!(r#"{{"format":1,"faults":[{fault}]}}"#);
        let error = CountedPlan::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, r#"{"format":2,"faults":[]}"#).unwrap();
    for (source, expected) in [
        (
            file.to_str().unwrap(),
            "its format is 2, and this version reads 1",
        ),
        (
            "none.json",
            "--faults takes a seed, or a file as --print-plan writes it",
        ),
    ] {
        let refused = serve("0").args(["--faults", source]).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(said.contains(expected), "{said}");
    }
}

/// A client that sends a line and reads a line.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn connect(served: &Served) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Wire(BufReader::new(stream))
    }

    /// The first line of the reply; nothing if the connection was closed.
    fn ask(&mut self, command: &str) -> String {
        let sent = self
            .0
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes());
        let mut line = String::new();
        let got = sent.and_then(|()| self.0.read_line(&mut line));
        assert!(got.is_ok() || line.is_empty(), "{command}: {got:?}");
        line.trim_end().to_owned()
    }
}

fn plan(faults: &[&str]) -> (tempfile::NamedTempFile, Vec<CountedFault>) {
    let text = format!("{{\"format\":1,\"faults\":[{}]}}", faults.join(","));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    (file, CountedPlan::parse(&text).unwrap().faults)
}

/// Would catch a fault that strikes another command, does something else than it is called, or is
/// not in the log.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a real server is late in real time"
)]
fn each_fault_does_what_the_log_says() {
    let faults = [
        r#"{"kind":"reset_before_execution","nth":2,"of":"INCR"}"#,
        r#"{"kind":"reset_after_execution","nth":3,"of":"incr"}"#,
        r#"{"kind":"reset_mid_reply","nth":2,"of":"GET"}"#,
        r#"{"kind":"error_after_execution","nth":5,"of":"INCR","error":"ERR upstream timeout"}"#,
        r#"{"kind":"late_command","nth":1,"of":"APPEND","ms":60}"#,
        r#"{"kind":"late_reply","nth":1,"of":"STRLEN","ms":60}"#,
        r#"{"kind":"readonly","nth":1,"of":"SET","lasts":2}"#,
        r#"{"kind":"noperm","nth":1,"of":"HSET","lasts":1}"#,
        r#"{"kind":"script_flush","nth":1,"of":"LLEN"}"#,
        r#"{"kind":"clients_killed","nth":1,"of":"HLEN"}"#,
        r#"{"kind":"redis_restart","nth":1,"of":"SCARD"}"#,
        r#"{"kind":"busy","nth":1,"of":"ZCARD","lasts":1}"#,
    ];
    let (file, _) = plan(&faults);
    let served = Served::start_with(&["--faults", file.path().to_str().unwrap()]);
    let mut wire = Wire::connect(&served);
    assert_eq!(wire.ask("INCR n"), ":1");
    assert_eq!(wire.ask("INCR n"), "");
    wire = Wire::connect(&served);
    assert_eq!(wire.ask("GET n"), "$1");
    wire = Wire::connect(&served);
    assert_eq!(wire.ask("INCR n"), "", "ran, and its reply is lost");
    wire = Wire::connect(&served);
    let mut half = Vec::new();
    wire.0.get_mut().write_all(b"GET n\r\n").unwrap();
    wire.0.read_to_end(&mut half).unwrap();
    assert_eq!(half, b"$1\r", "half of a reply of seven bytes");
    wire = Wire::connect(&served);
    assert_eq!(wire.ask("INCR n"), ":3");
    assert_eq!(wire.ask("INCR n"), "-ERR upstream timeout");
    assert_eq!(wire.ask("INCR n"), ":5");
    for command in ["APPEND n 0", "STRLEN n"] {
        let begun = Instant::now();
        assert_eq!(wire.ask(command), ":2");
        assert!(begun.elapsed() >= Duration::from_millis(60), "{command}");
    }
    assert!(wire.ask("SET a 1").starts_with("-READONLY"));
    assert!(wire.ask("SET a 1").starts_with("-READONLY"));
    assert_eq!(wire.ask("SET a 1"), "+OK");
    assert!(wire.ask("HSET h f 1").starts_with("-NOPERM"));
    assert_eq!(wire.ask("HSET h f 1"), ":1");
    assert_eq!(wire.ask("SCRIPT LOAD return(1)"), "$40");
    let mut sha = String::new();
    wire.0.read_line(&mut sha).unwrap();
    let evalsha = format!("EVALSHA {} 0", sha.trim_end());
    assert_eq!(wire.ask(&evalsha), ":1");
    assert_eq!(wire.ask("LLEN none"), ":0");
    assert!(wire.ask(&evalsha).starts_with("-NOSCRIPT"));
    for command in ["HLEN h", "SCARD none"] {
        let mut other = Wire::connect(&served);
        assert_eq!(other.ask("PING"), "+PONG");
        assert_eq!(wire.ask(command), "");
        assert_eq!(other.0.read(&mut [0]).unwrap(), 0, "{command} closes all");
        wire = Wire::connect(&served);
    }
    assert!(wire.ask("ZCARD z").starts_with("-BUSY"));
    assert_eq!(wire.ask("ZCARD z"), ":0");
    let log = served.log();
    let of = |number: usize| -> Vec<&str> {
        let start = format!("fault {number} ");
        log.iter()
            .filter_map(|line| line.strip_prefix(&start))
            .collect()
    };
    assert_eq!(
        of(1),
        ["reset_before_execution at INCR 2: connection 1, INCR n: closed before it runs"]
    );
    assert_eq!(
        of(2),
        [
            "reset_after_execution at incr 3: connection 3, INCR n: ran (:2), closed before its reply"
        ]
    );
    assert_eq!(
        of(7),
        [
            "readonly at SET 1: connection 5, SET a 1: begins with it, for 2 commands",
            "readonly at SET 1: is over"
        ]
    );
    assert!(
        (1..=faults.len()).all(|number| !of(number).is_empty()),
        "{log:#?}"
    );
}

/// Would catch a promotion that loses other writes than the last, or says so of others.
#[test]
fn a_promotion_loses_the_last_writes() {
    let (file, _) = plan(&[
        r#"{"kind":"lagging_replica_promoted","nth":4,"of":"write","loses":2}"#,
        r#"{"kind":"lagging_replica_promoted","nth":99,"loses":1}"#,
    ]);
    let served = Served::start_with(&["--faults", file.path().to_str().unwrap()]);
    let mut wire = Wire::connect(&served);
    for (command, reply) in [("SET a 1", "+OK"), ("GET a", "$1")] {
        assert_eq!(wire.ask(command), reply);
    }
    wire = Wire::connect(&served);
    assert_eq!(wire.ask("RPUSH list x y"), ":2");
    assert_eq!(wire.ask("INCR a"), ":2");
    assert_eq!(wire.ask("INCR a"), "", "closed, as all connections are");
    wire = Wire::connect(&served);
    assert_eq!(wire.ask("LLEN list"), ":0");
    assert_eq!(wire.ask("INCR a"), ":2");
    assert_eq!(
        served.log(),
        [
            "fault 1 lagging_replica_promoted at write 4: connection 2, INCR a: closed before it runs; a replica is \
             promoted that lacks RPUSH list x y, INCR a",
            "fault 2 lagging_replica_promoted at command 99: has not struck: 7 such commands were sent",
        ]
    );
}

/// Would catch a command that is not simulated, which nobody is told of where a client hides the
/// error, and one that is told of at each call.
#[test]
fn what_is_not_simulated_is_said_once() {
    let (file, _) = plan(&[]);
    let served = Served::start_with(&["--faults", file.path().to_str().unwrap()]);
    let mut wire = Wire::connect(&served);
    for command in [
        "geoadd k 1 1 a",
        "GEOADD k 1 1 b",
        "client kill x",
        "nosuch",
        "INCR a",
    ] {
        wire.ask(command);
    }
    let is_not = "is not simulated; redis-sim's README lists what is";
    let expected = [format!("GEOADD {is_not}"), format!("CLIENT KILL {is_not}")];
    assert_eq!(served.log(), expected);
}
