//! The speed of the simulated server; measures only: `cargo test -p redis-sim
//! --release speed -- --ignored --nocapture`

use redis_sim::{Command, Config, Redis};

#[allow(clippy::disallowed_methods, reason = "a measurement of real time")]
fn measure(what: &str, rounds: u32, mut round: impl FnMut()) {
    (0..rounds / 10).for_each(|_| round());
    let begin = std::time::Instant::now();
    (0..rounds).for_each(|_| round());
    println!(
        "{what}: {:.2} us",
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    );
}

fn command(words: &[&str]) -> Command {
    Command::new(words.iter().map(|word| word.as_bytes().to_vec())).unwrap()
}

#[test]
#[ignore = "a measurement"]
fn commands_and_scripts() {
    measure("a server, after the first", 1000, || {
        drop(Redis::new(Config::default()));
    });
    let mut redis = Redis::new(Config::default());
    let mut session = redis.connect().unwrap();
    let record = "x".repeat(600);
    for words in [
        &["SET", "haechi:audit:head", &record] as &[&str],
        &["GET", "haechi:audit:head"],
        &["LLEN", "none"],
    ] {
        let command = command(words);
        measure(words[0], 200_000, || {
            drop(redis.execute(&mut session, &command));
        });
    }
    for (what, text) in [
        ("EVAL of nothing", "return 1"),
        ("EVAL of one call", "return redis.call('GET', KEYS[1])"),
        (
            "compare and append",
            "local hash = redis.call('GET', KEYS[3]) or ''
             if hash ~= ARGV[1] and ARGV[1] ~= 'any' then return {0, hash} end
             redis.call('RPUSH', KEYS[1], ARGV[2])
             redis.call('SET', KEYS[2], ARGV[2])
             redis.call('SET', KEYS[3], ARGV[1])
             return {1, redis.call('LLEN', KEYS[1])}",
        ),
        (
            "cjson decode and encode",
            "return cjson.encode(cjson.decode('{\"alg\":\"sha256\",\"sequence\":12,\"x\":[1,2,3]}'))",
        ),
        ("an error", "return redis.call('NOPE')"),
    ] {
        let sha = redis.execute(&mut session, &command(&["SCRIPT", "LOAD", text]));
        let redis_sim::Reply::Bulk(sha) = sha else {
            panic!("{sha:?}")
        };
        let sha = String::from_utf8_lossy(&sha).into_owned();
        let words = [
            "EVALSHA",
            &sha,
            "3",
            "haechi:audit:chain",
            "haechi:audit:head",
            "haechi:audit:hash",
            "any",
            &record,
        ];
        let command = command(&words);
        measure(what, 50_000, || drop(redis.execute(&mut session, &command)));
    }
}
