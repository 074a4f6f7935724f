//! Properties that a comparison with redis-server does not show: determinism,
//! scripts that share an engine, snapshots, restarts and modes.

use redis_sim::{Command, Config, Redis, Reply, Session};

fn redis() -> (Redis, Session) {
    let mut redis = Redis::new(Config::default());
    redis.set_now(1_000_000);
    let session = redis.connect().unwrap();
    (redis, session)
}

fn run(redis: &mut Redis, session: &mut Session, words: &[&str]) -> Reply {
    let command = Command::new(words.iter().map(|word| word.as_bytes().to_vec())).unwrap();
    redis.execute(session, &command)
}

fn eval(text: &str) -> Reply {
    let (mut redis, mut session) = redis();
    run(&mut redis, &mut session, &["EVAL", text, "0"])
}

/// Catches a script that hangs its server, and one that the limit of another's instructions ends.
#[test]
fn a_script_that_does_not_end_is_stopped() {
    let (mut redis, mut session) = redis();
    let mut eval = |text: &str| run(&mut redis, &mut session, &["EVAL", text, "0"]);
    let endless = "while true do end";
    for script in [
        endless.to_owned(),
        format!("while true do pcall(function() {endless} end) end"),
        "return string.rep('x', 100000):gsub('.', function() while true do end end)".to_owned(),
    ] {
        let reply = eval(&script);
        let Reply::Error(text) = &reply else {
            panic!("{script}: {reply:?}")
        };
        let text = String::from_utf8_lossy(text);
        assert!(text.starts_with("ERR the script does not end"), "{text}");
        assert_eq!(eval("return 1"), Reply::Integer(1));
    }
}

/// Catches a global, a library or a metatable that a script can change for the next one.
#[test]
fn no_script_changes_the_environment_of_the_next() {
    for attempt in [
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "setmetatable(_G, {__index = function() return 1 end})",
        "string.x = 1",
        "getmetatable('').__index = function() return 1 end",
        "redis.call = function() return 1 end",
        "rawset(redis, 'call', 1)",
        "loadstring('x = 1')()",
        "KEYS.x = 1",
        "ARGV = nil",
    ] {
        let _ = eval(attempt);
        for probe in [
            "return x",
            "return ('').x",
            "return KEYS.x",
            "return string.x",
        ] {
            let reply = eval(probe);
            assert!(
                reply.is_error() || reply == Reply::Nil,
                "{attempt}: {probe}: {reply:?}"
            );
        }
        assert_eq!(
            eval("return redis.call('PING').ok"),
            Reply::text("PONG"),
            "{attempt}"
        );
        assert_eq!(
            eval("return {#KEYS, #ARGV}"),
            Reply::Array(vec![Reply::Integer(0), Reply::Integer(0)])
        );
    }
}

/// Scripts whose results would differ from run to run if the engine were not
/// deterministic.
const PROBES: &[&str] = &[
    "return tostring({}) .. tostring(tostring) .. tostring(print)",
    "return {tostring({}), tostring(function() end), tostring(coroutine.create(function() end))}",
    "return {math.random(1000), math.random(1000), collectgarbage('count'), gcinfo()}",
    "return {pcall(error, {})}",
    "local t = {} for k in pairs({a=1, b=2, c=3, d=4, 1, 2}) do t[#t + 1] = k end return t",
    "return redis.call('TIME')",
    "return redis.call('INFO')",
    "return {pcall(string.rep)}",
];

fn probed() -> Vec<Reply> {
    let (mut redis, mut session) = redis();
    PROBES
        .iter()
        .map(|text| run(&mut redis, &mut session, &["EVAL", text, "0"]))
        .collect()
}

/// Would catch a result that depends on addresses, memory, or earlier scripts.
#[test]
#[allow(clippy::disallowed_methods, reason = "each thread has its own engine")]
fn a_used_engine_gives_the_results_of_a_new_one() {
    for round in 0..50 {
        let _ = eval(&format!(
            "local t = {{}} for i = 1, {round}00 do t['k' .. i] = {{i}} end return #t"
        ));
    }
    let used = probed();
    assert_eq!(std::thread::spawn(probed).join().unwrap(), used);
    assert_eq!(probed(), used);
}

/// Would catch a script that one server has because another loaded it.
#[test]
fn servers_of_one_thread_share_only_the_engine() {
    let (mut one, mut at_one) = redis();
    let (mut two, mut at_two) = redis();
    let text = "return redis.call('INCR', KEYS[1])";
    let Reply::Bulk(sha) = run(&mut one, &mut at_one, &["SCRIPT", "LOAD", text]) else {
        panic!("a name")
    };
    let call = ["EVALSHA", std::str::from_utf8(&sha).unwrap(), "1", "n"];
    assert_eq!(run(&mut one, &mut at_one, &call), Reply::Integer(1));
    assert_eq!(
        run(&mut two, &mut at_two, &call),
        Reply::fail("NOSCRIPT No matching script. Please use EVAL.")
    );
    run(&mut two, &mut at_two, &["EVAL", text, "1", "n"]);
    assert_eq!(run(&mut one, &mut at_one, &call), Reply::Integer(2));
    assert_eq!(run(&mut two, &mut at_two, &call), Reply::Integer(2));
}

/// Would catch a value that a snapshot shares with a later write.
#[test]
fn a_snapshot_is_not_changed_by_later_writes() {
    let (mut redis, mut session) = redis();
    run(&mut redis, &mut session, &["RPUSH", "l", "a"]);
    let snapshot = redis.snapshot();
    run(&mut redis, &mut session, &["WATCH", "l"]);
    run(&mut redis, &mut session, &["RPUSH", "l", "b"]);
    assert_eq!(
        run(&mut redis, &mut session, &["LLEN", "l"]),
        Reply::Integer(2)
    );
    redis.restore(&snapshot);
    assert_eq!(redis.snapshot(), snapshot);
    run(&mut redis, &mut session, &["MULTI"]);
    assert_eq!(
        run(&mut redis, &mut session, &["EXEC"]),
        Reply::NilArray,
        "what was watched has changed"
    );
    assert_eq!(
        run(&mut redis, &mut session, &["LLEN", "l"]),
        Reply::Integer(1)
    );
}

/// Would catch a script, a connection or its number that survives a restart,
/// and data that does not.
#[test]
fn a_restart_keeps_only_data() {
    let (mut redis, mut session) = redis();
    run(&mut redis, &mut session, &["SET", "a", "1"]);
    run(&mut redis, &mut session, &["SCRIPT", "LOAD", "return 1"]);
    redis.restart();
    assert!(!redis.is_current(&session));
    let mut session = redis.connect().unwrap();
    assert_eq!(session.id(), 1);
    assert_eq!(
        run(&mut redis, &mut session, &["GET", "a"]),
        Reply::text("1")
    );
    let exists = [
        "SCRIPT",
        "EXISTS",
        "e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    ];
    assert_eq!(
        run(&mut redis, &mut session, &exists),
        Reply::Array(vec![Reply::Integer(0)])
    );
}

/// Would catch a key that expires early or late, or by being read through the
/// keyspace.
#[test]
fn only_the_injected_clock_expires_keys() {
    let (mut redis, mut session) = redis();
    run(
        &mut redis,
        &mut session,
        &["SET", "lock", "me", "PX", "100"],
    );
    redis.set_now(1_000_099);
    assert_eq!(
        run(&mut redis, &mut session, &["PTTL", "lock"]),
        Reply::Integer(1)
    );
    redis.set_now(1_000_100);
    assert!(redis.keyspace().peek(b"lock").is_some());
    assert_eq!(run(&mut redis, &mut session, &["GET", "lock"]), Reply::Nil);
    assert!(redis.keyspace().peek(b"lock").is_none());
}

/// Would catch a command that runs in spite of the mode, or a mode that refuses
/// one it allows.
#[test]
fn loading_misconf_and_busy_refuse_before_execution() {
    let (mut redis, mut session) = redis();
    let mut code = |redis: &mut Redis, words: &[&str]| match run(redis, &mut session, words) {
        Reply::Error(text) => String::from_utf8_lossy(&text)
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned(),
        other => format!("{other:?}"),
    };
    redis.modes().loading = true;
    assert_eq!(code(&mut redis, &["GET", "a"]), "LOADING");
    assert_eq!(code(&mut redis, &["EVAL", "return 1", "0"]), "LOADING");
    assert!(code(&mut redis, &["INFO", "persistence"]).contains("loading:1"));
    redis.modes().loading = false;
    redis.modes().busy = true;
    assert_eq!(code(&mut redis, &["GET", "a"]), "BUSY");
    assert_eq!(
        code(&mut redis, &["SCRIPT", "KILL"]),
        format!("{:?}", Reply::OK)
    );
    redis.modes().misconf = true;
    assert_eq!(code(&mut redis, &["SET", "a", "1"]), "MISCONF");
    assert_eq!(code(&mut redis, &["PING"]), "MISCONF");
    assert_eq!(code(&mut redis, &["GET", "a"]), format!("{:?}", Reply::Nil));
    assert_eq!(
        code(&mut redis, &["EVAL", "redis.call('SET', 'a', '1')", "0"]),
        "MISCONF"
    );
}

/// Would catch a failed script that is rolled back.
#[test]
fn a_missing_permission_keeps_earlier_writes_of_a_script() {
    let (mut redis, mut session) = redis();
    redis.modes().denied.insert("set".to_owned());
    let text = "redis.call('RPUSH', 'l', 'a') redis.call('SET', 'h', 'a')";
    assert!(run(&mut redis, &mut session, &["EVAL", text, "0"]).is_error());
    assert_eq!(
        run(&mut redis, &mut session, &["LLEN", "l"]),
        Reply::Integer(1)
    );
}

/// Would catch recursion in a conversion of Lua values.
#[test]
fn the_deepest_values_fit_a_thread_s_stack() {
    // Test threads have 2 MiB and unoptimized frames are large, so this is the
    // hardest case.
    let deep = "local t = {} for i = 1, 999 do t = {t} end ";
    assert_eq!(
        eval(&format!("{deep} return #cjson.encode(t)")),
        Reply::Integer(2000)
    );
    assert!(matches!(eval(&format!("{deep} return t")), Reply::Array(_)));
    let text = "return #cjson.decode(('['):rep(1000) .. (']'):rep(1000))";
    assert_eq!(eval(text), Reply::Integer(1));
}

/// Would catch ids of entries that do not come from the injected clock, or that go back with it.
#[test]
fn ids_of_entries_follow_the_clock() {
    let (mut redis, mut session) = redis();
    let add = ["XADD", "x", "*", "field", "value"];
    for (now, id) in [
        (1000, "1000-0"),
        (1000, "1000-1"),
        (900, "1000-2"),
        (1001, "1001-0"),
    ] {
        redis.set_now(now);
        assert_eq!(run(&mut redis, &mut session, &add), Reply::text(id));
    }
}

/// Would catch idle times, and their limits, that do not follow the injected clock.
#[test]
fn pending_entries_are_idle_by_the_clock() {
    let (mut redis, mut session) = redis();
    let mut run = |redis: &mut Redis, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        run(redis, &mut session, &words)
    };
    redis.set_now(1000);
    run(&mut redis, "XADD x 1-1 f v");
    run(&mut redis, "XGROUP CREATE x g 0");
    run(&mut redis, "XREADGROUP GROUP g ann STREAMS x >");
    redis.set_now(1500);
    let none = Reply::Array(Vec::new());
    let pending = |consumer, idle, count| {
        let parts = [Reply::text("1-1"), Reply::text(consumer)];
        let numbers = [Reply::Integer(idle), Reply::Integer(count)];
        Reply::Array(vec![Reply::Array(
            parts.into_iter().chain(numbers).collect(),
        )])
    };
    assert_eq!(run(&mut redis, "XPENDING x g IDLE 501 - + 9"), none);
    assert_eq!(
        run(&mut redis, "XPENDING x g IDLE 500 - + 9"),
        pending("ann", 500, 1)
    );
    assert_eq!(run(&mut redis, "XCLAIM x g bob 501 1-1"), none);
    let claimed = run(&mut redis, "XCLAIM x g bob 500 1-1 IDLE 20 JUSTID");
    assert_eq!(claimed, Reply::Array(vec![Reply::text("1-1")]));
    assert_eq!(run(&mut redis, "XPENDING x g - + 9"), pending("bob", 20, 1));
    redis.set_now(1600);
    run(&mut redis, "XREADGROUP GROUP g bob STREAMS x 0");
    assert_eq!(run(&mut redis, "XPENDING x g - + 9"), pending("bob", 0, 2));
    run(&mut redis, "XCLAIM x g bob 0 1-1 TIME 1400 RETRYCOUNT 7");
    redis.set_now(1650);
    assert_eq!(
        run(&mut redis, "XPENDING x g - + 9"),
        pending("bob", 250, 7)
    );
    run(&mut redis, "XAUTOCLAIM x g cat 250 0");
    assert_eq!(run(&mut redis, "XPENDING x g - + 9"), pending("cat", 0, 8));
    redis.set_now(1700);
    let consumers = run(&mut redis, "XINFO CONSUMERS x g");
    let Reply::Array(consumers) = consumers else {
        panic!("{consumers:?}");
    };
    let idle = |consumer: &Reply| match consumer {
        Reply::Array(parts) => parts[5].clone(),
        _ => Reply::Nil,
    };
    let idle: Vec<Reply> = consumers.iter().map(idle).collect();
    assert_eq!(idle, [700, 100, 50].map(Reply::Integer));
}

/// Would catch a stream whose groups a snapshot shares with the data, or does not have.
#[test]
fn a_snapshot_has_groups() {
    let (mut redis, mut session) = redis();
    let mut run = |redis: &mut Redis, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        run(redis, &mut session, &words)
    };
    run(&mut redis, "XADD x 1-1 f v");
    run(&mut redis, "XGROUP CREATE x g 0");
    let before = run(&mut redis, "XINFO GROUPS x");
    let snapshot = redis.snapshot();
    run(&mut redis, "XREADGROUP GROUP g ann STREAMS x >");
    run(&mut redis, "XADD x 2-1 f v");
    assert_ne!(run(&mut redis, "XINFO GROUPS x"), before);
    redis.restore(&snapshot);
    assert_eq!(run(&mut redis, "XINFO GROUPS x"), before);
    assert_eq!(run(&mut redis, "XLEN x"), Reply::Integer(1));
}

/// Would catch a container whose subcommands write, taken for one that is not about data.
#[test]
fn containers_do_what_their_subcommands_do() {
    use redis_sim::{Access, access};
    for (name, expected) in [
        ("XGROUP", Access::Write),
        ("XINFO", Access::Read),
        ("XREADGROUP", Access::Write),
        ("XREAD", Access::Read),
        ("EVAL", Access::Write),
        ("CONFIG", Access::None),
        ("NOPE", Access::None),
    ] {
        assert_eq!(access(&Command::new([name]).unwrap()), expected, "{name}");
    }
}
