//! What several connections do to one another: waiting for elements, and channels. One conversation,
//! with the simulated server and with redis-server.

use crate::client::Client;
use redis_sim::Config;
use redis_sim::server_process::RedisServer;
use redis_sim::tcp::TcpServer;
use std::time::Duration;

#[allow(
    clippy::disallowed_methods,
    reason = "a real server waits in real time"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(60));
}

/// Those that wait are served in their order, by pushes, transactions, scripts and moves.
fn wait_for_elements(port: u16) -> Vec<String> {
    let mut said = Vec::new();
    let [mut first, mut second, mut third, mut writer] = [(); 4].map(|()| Client::connect(port));
    for client in [&mut first, &mut second] {
        client.send("BLPOP other queue 0");
        pause();
    }
    third.send("BLMOVE queue done LEFT RIGHT 0");
    pause();
    said.push(writer.ask("RPUSH queue a b c d"));
    said.extend([first.reply(), second.reply(), third.reply()]);
    said.push(writer.ask("LRANGE queue 0 -1"));
    said.push(writer.ask("LRANGE done 0 -1"));

    // Within a transaction, and within a script, nothing is served before its end.
    first.send("BRPOP q 0");
    pause();
    for command in ["MULTI", "RPUSH q x", "LPOP q", "RPUSH q y", "EXEC"] {
        said.push(writer.ask(command));
    }
    said.push(first.reply());
    first.send("BZPOPMIN z 0");
    pause();
    let script = "redis.call('ZADD',KEYS[1],2,'b')redis.call('ZADD',KEYS[1],1,'a')return(1)";
    said.push(writer.ask(&format!("EVAL {script} 1 z")));
    said.push(first.reply());

    // One moves to the list for which the next one waits.
    first.send("BLPOP to 0");
    pause();
    second.send("BRPOPLPUSH from to 0");
    pause();
    said.push(writer.ask("LPUSH from e"));
    said.extend([first.reply(), second.reply()]);

    // Only its own database; a time-out; what is sent meanwhile runs afterwards.
    said.push(first.ask("SELECT 1"));
    first.send("BLPOP k 0.2");
    pause();
    said.push(writer.ask("RPUSH k elsewhere"));
    first.send("PING");
    said.extend([first.reply(), first.reply()]);
    // A client that is gone takes nothing.
    second.send("BLPOP gone 0");
    pause();
    drop(second);
    pause();
    said.push(writer.ask("RPUSH gone still"));
    said.push(writer.ask("LRANGE gone 0 -1"));
    said
}

/// Those that wait for entries of streams, for all that is new and in groups.
fn wait_for_entries(port: u16) -> Vec<String> {
    let mut said = Vec::new();
    let [mut first, mut second, mut third, mut writer] = [(); 4].map(|()| Client::connect(port));
    said.push(third.ask("HELLO 3"));
    said.clear();
    said.push(writer.ask("XADD x 1-1 f old"));
    // Everyone that reads gets it, whoever waits for another id does not.
    for (client, command) in [
        (&mut first, "XREAD BLOCK 0 STREAMS none x $ $"),
        (&mut second, "XREAD COUNT 1 BLOCK 400 STREAMS x 5-1"),
        (&mut third, "XREAD BLOCK 0 STREAMS x $"),
    ] {
        client.send(command);
        pause();
    }
    said.push(writer.ask("XADD x 2-1 f new"));
    said.extend([first.reply(), third.reply(), second.reply()]);

    // In a group each entry goes to one.
    said.push(writer.ask("XGROUP CREATE x g $"));
    for client in [&mut first, &mut second] {
        client.send("XREADGROUP GROUP g ann BLOCK 0 COUNT 1 STREAMS x >");
        pause();
    }
    third.send("XREADGROUP GROUP g bob BLOCK 0 NOACK STREAMS x >");
    pause();
    for command in [
        "MULTI",
        "XADD x 3-1 f a",
        "XADD x 3-2 f b",
        "XADD x 3-3 f c",
        "EXEC",
    ] {
        said.push(writer.ask(command));
    }
    said.extend([first.reply(), second.reply(), third.reply()]);
    said.push(writer.ask("XPENDING x g"));

    // Another type, a key that is gone, a group that is gone.
    first.send("XREADGROUP GROUP g ann BLOCK 0 STREAMS x >");
    pause();
    second.send("XREAD BLOCK 0 STREAMS x $");
    pause();
    for command in ["DEL x", "SET x text", "DEL x", "XADD x 1-1 f less"] {
        said.push(writer.ask(command));
    }
    said.push(first.reply());
    said.push(writer.ask("XGROUP CREATE x g $"));
    for (client, command) in [(&mut first, "SET x text"), (&mut third, "RENAME x away")] {
        client.send("XREADGROUP GROUP g ann BLOCK 0 STREAMS x >");
        pause();
        said.push(writer.ask(command));
        said.push(client.reply());
        said.push(writer.ask("DEL x"));
        said.push(writer.ask("XGROUP CREATE x g $ MKSTREAM"));
    }
    said.push(writer.ask("DEL x"));
    for command in ["XADD x 4-1 f more", "XGROUP CREATE x g $"] {
        said.push(writer.ask(command));
    }
    said.push(second.reply());
    first.send("XREADGROUP GROUP g ann BLOCK 0 STREAMS x >");
    pause();
    said.push(writer.ask("XGROUP DESTROY x g"));
    said.push(first.reply());

    // What is deleted again before anyone is served.
    first.send("XREAD BLOCK 0 STREAMS x $");
    pause();
    for command in ["MULTI", "XADD x 5-1 f a", "XDEL x 5-1", "EXEC"] {
        said.push(writer.ask(command));
    }
    said.push(first.reply());
    said.push(writer.ask("XREAD STREAMS x 4-1"));

    // One that did not say how many it wants.
    first.send("XREAD BLOCK 0 STREAMS x $");
    pause();
    let script = "for\ti=1,1002\tdo\tredis.call('XADD',KEYS[1],'6-'..i,'f','v')end";
    said.push(writer.ask(&format!("EVAL {script} 1 x")));
    said.push(first.reply().matches("6-").count().to_string());
    said
}

/// Channels and patterns, in both protocols.
fn channels(port: u16) -> Vec<String> {
    let mut said = Vec::new();
    let [mut old, mut new, mut writer] = [(); 3].map(|()| Client::connect(port));
    old.send("SUBSCRIBE a b");
    said.extend([old.reply(), old.reply()]);
    said.push(old.ask("PSUBSCRIBE a*"));
    new.send("HELLO 3");
    new.reply();
    said.push(new.ask("SUBSCRIBE a"));
    for command in ["PUBLISH a one", "PUBLISH aa two", "PUBLISH none three"] {
        said.push(writer.ask(command));
    }
    said.extend([old.reply(), old.reply(), old.reply(), new.reply()]);
    said.push(writer.ask("EVAL return(redis.call('PUBLISH','b','script')) 0"));
    said.push(old.reply());
    for command in ["GET a", "PING", "PING x", "HELLO 3", "MULTI"] {
        said.push(old.ask(command));
    }
    // In RESP3 anything may be sent, and its own messages come first.
    new.send("PUBLISH a own");
    said.extend([
        new.reply(),
        new.reply(),
        new.ask("PING"),
        new.ask("GET none"),
    ]);
    said.extend([old.reply(), old.reply()]);
    for command in ["PUBSUB NUMSUB a b c", "PUBSUB NUMPAT", "PUBSUB CHANNELS b*"] {
        said.push(writer.ask(command));
    }
    for command in [
        "UNSUBSCRIBE b",
        "PUNSUBSCRIBE",
        "UNSUBSCRIBE",
        "GET none",
        "UNSUBSCRIBE",
    ] {
        said.push(old.ask(command));
    }
    said.push(new.ask("RESET"));
    said.push(writer.ask("PUBLISH a nobody"));
    said.push(old.ask("SUBSCRIBE a"));
    drop(old);
    pause();
    said.push(writer.ask("PUBLISH a gone"));
    said
}

/// Would catch an element that goes to another client than on redis-server, or to none, and a
/// message that comes at another place.
#[test]
fn clients_wait_and_are_told_as_by_redis_server() {
    let real = RedisServer::start().unwrap();
    let simulated = TcpServer::start(Config::wall_clock()).unwrap();
    for conversation in [wait_for_elements, wait_for_entries, channels] {
        let expected = conversation(real.port());
        assert_eq!(conversation(simulated.port()), expected);
    }
}
