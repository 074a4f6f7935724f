//! Tests of the link: connections, dials, timeouts, and what is sent twice.

use std::{future::poll_fn, pin::pin, task::Poll};

use redis::cmd;

use super::*;
use crate::{
    durability::Durability,
    test_util::{Answer, AutoClock, FakeConnection, Script as FakeScript, ScriptedServer},
};

fn link(server: &ScriptedServer) -> Link<ScriptedServer, AutoClock> {
    Link::new(server.clone(), AutoClock::default(), Timeouts::default())
}

fn run<F: Future>(link: &Link<ScriptedServer, AutoClock>, future: F) -> F::Output {
    link.clock.run(future).unwrap()
}

fn no_script() -> Answer {
    let kind = ErrorKind::Server(ServerErrorKind::NoScript);
    Answer::Error((kind, "NOSCRIPT", "no matching script".to_owned()).into())
}

fn ok() -> Answer {
    Answer::Reply(Value::Okay)
}

/// Would catch a new connection for each command, and one that is reused
/// although an old reply may still arrive.
#[test]
fn a_connection_is_reused_until_an_error() {
    let server = ScriptedServer::scripted([
        ok(),
        Answer::error("OOM", "no"),
        ok(),
        Answer::Silence,
        ok(),
        Answer::Error((ErrorKind::Server(ServerErrorKind::ReadOnly), "demoted").into()),
        ok(),
    ]);
    let link = link(&server);
    let ping = cmd("PING");
    let mut opened = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..7 {
        ends.push(match run(&link, link.send(&ping)) {
            Ok(Value::Okay) => "ok",
            Ok(_) => "another reply",
            Err(AttemptError::Refused(_)) => "refused",
            Err(AttemptError::Ambiguous(_)) => "ambiguous",
            Err(_) => "another error",
        });
        opened.push(server.opened());
    }
    assert_eq!(
        ends,
        ["ok", "refused", "ok", "ambiguous", "ok", "refused", "ok"]
    );
    assert_eq!(opened, [1, 1, 1, 1, 2, 2, 3]);
    assert_eq!(server.received().len(), 7, "nothing is sent twice");
}

/// Would catch a late failure of a connection that closes a newer one.
#[test]
fn a_late_failure_does_not_close_the_next_connection() {
    let server = ScriptedServer::scripted([Answer::Silence, ok()]);
    let link = link(&server);
    let late = run(&link, link.connection()).unwrap();
    let failed = run(&link, link.send(&cmd("PING")));
    assert!(matches!(failed, Err(AttemptError::Ambiguous(_))));
    assert_eq!(run(&link, link.send(&cmd("PING"))).unwrap(), Value::Okay);
    drop(Request {
        link: &link,
        generation: late.generation,
        replies: late.replies,
        kind: COMMAND,
        began: Duration::ZERO,
        end: End::Spoiled,
    });
    run(&link, link.connection()).unwrap();
    assert_eq!(server.opened(), 2);
}

/// Would catch a script that is never loaded, one that is loaded each time,
/// and one that is sent again after another error.
#[test]
fn only_an_unknown_script_is_loaded_and_sent_again() {
    let script = Script::new("return 1");
    let call = script.call(&[]);
    let names = |server: &ScriptedServer| -> Vec<bool> {
        let is_load = |asked: &String| asked.contains("LOAD");
        server.received().iter().map(is_load).collect()
    };

    let server = ScriptedServer::scripted([no_script(), ok(), Answer::Reply(Value::Int(1)), ok()]);
    let known = link(&server);
    assert_eq!(
        run(&known, known.run(&script, &call)).unwrap(),
        Value::Int(1)
    );
    assert_eq!(run(&known, known.run(&script, &call)).unwrap(), Value::Okay);
    assert_eq!(names(&server), [false, true, false, false]);

    let server = ScriptedServer::scripted([Answer::error("ERR", "upstream failure"), ok(), ok()]);
    let link = self::link(&server);
    let failed = run(&link, link.run(&script, &call));
    assert!(matches!(failed, Err(AttemptError::Ambiguous(_))));
    assert_eq!(names(&server), [false]);

    // Loading may have failed, but the call certainly did not run.
    let server = ScriptedServer::scripted([no_script(), Answer::Silence, ok()]);
    let link = self::link(&server);
    let failed = run(&link, link.run(&script, &call));
    assert!(matches!(failed, Err(AttemptError::Refused(_))));
    assert_eq!(names(&server), [false, true]);
}

/// Would catch the answer to a WAIT that was asked behind a script that did not
/// run: it says nothing about what the script writes once it is loaded.
#[test]
fn what_a_wait_behind_an_unknown_script_answered_is_discarded() {
    let script = Script::new("return 1");
    let call = script.call(&[]);
    let mut wait = cmd("WAIT");
    wait.arg(1).arg(100);
    let count = |count| Answer::Reply(Value::Int(count));
    let server = ScriptedServer::scripted([no_script(), count(1), ok(), count(7), count(0)]);
    let link = link(&server);
    let both = run(
        &link,
        link.run_and_wait(&script, &call, &wait, Duration::from_millis(100)),
    );
    let (reply, waited) = both.unwrap();
    assert_eq!((reply, waited.unwrap()), (Value::Int(7), Value::Int(0)));
    let names: Vec<_> = server
        .received()
        .iter()
        .map(|sent| sent.split("\r\n").nth(2).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(names, ["EVALSHA", "WAIT", "SCRIPT", "EVALSHA", "WAIT"]);
    assert_eq!(server.opened(), 1);
}

/// A server to which no connection opens.
#[derive(Clone)]
struct Unreachable;

impl Connect for Unreachable {
    type Connection = FakeConnection<FakeScript>;

    async fn connect(&self) -> redis::RedisResult<Self::Connection> {
        std::future::pending().await
    }
}

/// Would catch a connection that is waited for as long as a reply, or the
/// other way round.
#[test]
fn connections_and_replies_have_timeouts_of_their_own() {
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        reply: Duration::from_secs(3),
        ..Timeouts::default()
    };
    let clock = AutoClock::default();
    let link = Link::new(Unreachable, clock.clone(), timeouts);
    let failed = clock.run(link.send(&cmd("PING"))).unwrap();
    assert!(matches!(failed, Err(AttemptError::Refused(_))));
    assert_eq!(clock.now(), timeouts.connect);

    let clock = AutoClock::default();
    let server = ScriptedServer::scripted([Answer::Silence]);
    let link = Link::new(server, clock.clone(), timeouts);
    let failed = clock.run(link.send(&cmd("PING"))).unwrap();
    assert!(matches!(failed, Err(AttemptError::Ambiguous(_))));
    assert_eq!(clock.now(), timeouts.reply);
}

/// Runs all of them concurrently.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        match futures.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// A server that takes `dial` to open a connection.
#[derive(Clone)]
struct Slow {
    server: ScriptedServer,
    clock: AutoClock,
    dial: Duration,
    dials: Arc<Mutex<u32>>,
}

impl Slow {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            server: ScriptedServer::scripted(answers),
            clock: AutoClock::default(),
            dial: Duration::from_millis(100),
            dials: Arc::default(),
        }
    }

    fn link(&self) -> Link<Self, AutoClock> {
        Link::new(self.clone(), self.clock.clone(), Timeouts::default())
    }

    fn dials(&self) -> u32 {
        *lock(&self.dials)
    }
}

impl Connect for Slow {
    type Connection = FakeConnection<FakeScript>;

    async fn connect(&self) -> redis::RedisResult<Self::Connection> {
        *lock(&self.dials) += 1;
        self.clock.sleep(self.dial).await;
        self.server.connect().await
    }
}

const CALLERS: usize = 100;

/// Would catch callers that each dial after a connection was cut, and those
/// that dial one after the other where none opens.
#[test]
fn callers_wait_for_one_connection() {
    let cut = Answer::Error((ErrorKind::Io, "cut").into());
    let oks = (0..CALLERS).map(|_| ok());
    let slow = Slow::new(std::iter::once(cut).chain(oks));
    let link = slow.link();
    slow.clock.run(link.connection()).unwrap().unwrap();
    let ping = cmd("PING");
    let callers = (0..CALLERS).map(|_| async {
        // The first one meets the cut.
        while link.send(&ping).await.is_err() {}
    });
    slow.clock.run(all(callers)).unwrap();
    assert_eq!(slow.dials(), 2);

    let away = Slow::new([Answer::Away((ErrorKind::Io, "away").into())]);
    let link = away.link();
    let callers = (0..CALLERS).map(|_| link.send(&ping));
    for end in away.clock.run(all(callers)).unwrap() {
        assert!(matches!(end, Err(AttemptError::Refused(_))), "{end:?}");
    }
    assert_eq!(away.dials(), 1);
}

/// Would catch a dial that begins again whenever a caller leaves, and one
/// that is kept, with its timeout, when nobody waits for it.
#[test]
fn a_dial_goes_on_while_a_caller_waits() {
    let slow = Slow::new([ok()]);
    let (link, clock) = (slow.link(), slow.clock.clone());
    let ping = cmd("PING");
    let send = async |begin: u64, patience: u64| {
        clock.sleep(Duration::from_millis(begin)).await;
        within(&clock, Duration::from_millis(patience), link.send(&ping)).await
    };
    let [left, stayed] = [(0, 60), (30, 1000)].map(|(begin, patience)| send(begin, patience));
    let ends = clock.run(all([left, stayed])).unwrap();
    assert!(ends[0].is_none());
    assert_eq!(ends[1].clone().unwrap().unwrap(), Value::Okay);
    assert_eq!(slow.dials(), 1);
    assert_eq!(clock.now(), slow.dial);

    let slow = Slow::new([ok()]);
    let (link, clock) = (slow.link(), slow.clock.clone());
    let send = async |patience: u64| {
        within(&clock, Duration::from_millis(patience), link.send(&ping)).await
    };
    let both = async {
        assert!(send(50).await.is_none());
        clock.sleep(Duration::from_secs(10)).await;
        send(1000).await
    };
    let end = clock.run(both).unwrap();
    assert_eq!(end.unwrap().unwrap(), Value::Okay);
    assert_eq!(slow.dials(), 2);
}

/// Would catch callers that wait for one that is not polled: a `select!` whose
/// other branch uses the store too.
#[test]
fn any_caller_drives_the_dial() {
    let slow = Slow::new([ok(), ok()]);
    let (link, clock) = (slow.link(), slow.clock.clone());
    let ping = cmd("PING");
    let both = async {
        let mut kept = pin!(link.send(&ping));
        let begun = poll_fn(|cx| Poll::Ready(kept.as_mut().poll(cx).is_pending())).await;
        assert!(begun);
        let patience = Duration::from_secs(1);
        let other = within(&clock, patience, link.send(&ping)).await;
        assert_eq!(other.unwrap().unwrap(), Value::Okay);
        assert_eq!(kept.await.unwrap(), Value::Okay);
    };
    clock.run(both).unwrap();
    assert_eq!(slow.dials(), 1);
    assert_eq!(clock.now(), slow.dial);
}

/// Would catch callers that lose a working connection because one of them
/// has a short deadline, and one that reuses a silent connection.
#[test]
fn a_caller_that_gives_up_closes_only_a_silent_connection() {
    let give_up = |answers: [Answer; 3], then_answered: bool| {
        let server = ScriptedServer::scripted(answers);
        let link = link(&server);
        let ping = cmd("PING");
        let [patience, pause] = [20, 10].map(Duration::from_millis);
        let gives_up = within(&link.clock, patience, link.send(&ping));
        let other = async {
            link.clock.sleep(pause).await;
            match then_answered {
                true => link.send(&ping).await.map(Some),
                false => Ok(None),
            }
        };
        let (given_up, answered) = run(&link, async { tokio::join!(gives_up, other) });
        assert!(given_up.is_none());
        assert_eq!(answered.unwrap().is_some(), then_answered);
        assert_eq!(run(&link, link.send(&ping)).unwrap(), Value::Okay);
        server.opened()
    };
    assert_eq!(give_up([Answer::Silence, ok(), ok()], true), 1);
    assert_eq!(give_up([Answer::Silence, ok(), ok()], false), 2);
}

/// Would catch a check that is skipped, one that refuses a user who may run
/// neither INFO nor CONFIG, one that takes any other error for a denial, and "may have run"
/// when the check fails.
#[test]
fn a_connection_is_checked_before_it_is_used() {
    let info = |policy: &str| {
        let text = format!("# Memory\r\nmaxmemory_policy:{policy}\r\n");
        Answer::Reply(Value::BulkString(text.into_bytes()))
    };
    let denied = || Answer::error("NOPERM", "no");
    let timeout = || Answer::error("ERR", "upstream timeout");
    for (answers, expected) in [
        (vec![info("noeviction"), ok()], "ok"),
        (vec![info("allkeys-lru")], "denied"),
        (vec![denied(), denied(), ok()], "ok"),
        (vec![Answer::error("BUSY", "a script runs")], "refused"),
        (vec![timeout(), info("allkeys-lru")], "denied"),
        (vec![timeout(), info("noeviction"), ok()], "ok"),
        (vec![timeout(), denied()], "refused"),
        (vec![denied(), timeout()], "refused"),
        (vec![Answer::Silence], "refused"),
        (
            vec![Answer::Error((ErrorKind::Io, "cut").into())],
            "refused",
        ),
    ] {
        let case = format!("{answers:?}");
        let server = ScriptedServer::scripted(answers);
        let link = link(&server).refusing(Unfit {
            evicting: true,
            durability: Durability::Memory,
        });
        let ended = match run(&link, link.send(&cmd("PING"))) {
            Ok(_) => "ok",
            Err(AttemptError::Denied(_)) => "denied",
            Err(AttemptError::Refused(_)) => "refused",
            Err(_) => "another error",
        };
        assert_eq!(ended, expected, "{case}");
        let is_sent = server.received().iter().any(|sent| sent.contains("PING"));
        assert_eq!(is_sent, expected == "ok", "{case}");
    }
}

/// Would catch a connection that another clone of the link has opened without a check, as
/// `ready` does, and that is then written to.
#[test]
fn a_connection_that_was_not_checked_is_not_used() {
    let info = Value::BulkString(b"maxmemory_policy:allkeys-lru\r\n".to_vec());
    let server = ScriptedServer::scripted([ok(), Answer::Reply(info), ok()]);
    let link = link(&server);
    assert_eq!(run(&link, link.send(&cmd("PING"))).unwrap(), Value::Okay);
    let checked = link.clone().refusing(Unfit {
        evicting: true,
        durability: Durability::Memory,
    });
    let refused = run(&checked, checked.send(&cmd("PING")));
    assert!(
        matches!(refused, Err(AttemptError::Denied(_))),
        "{refused:?}"
    );
    link.found_fit(link.generation());
    assert_eq!(
        run(&checked, checked.send(&cmd("PING"))).unwrap(),
        Value::Okay
    );
}

/// Would catch "may have run" although nothing was sent.
#[test]
fn a_server_that_cannot_be_reached_refuses() {
    let server = ScriptedServer::scripted([Answer::Away((ErrorKind::Io, "away").into()), ok()]);
    let link = link(&server);
    let failed = run(&link, link.send(&cmd("PING")));
    assert!(matches!(failed, Err(AttemptError::Refused(_))));
    assert_eq!(server.received(), Vec::<String>::new());
    assert_eq!(run(&link, link.send(&cmd("PING"))).unwrap(), Value::Okay);
}
