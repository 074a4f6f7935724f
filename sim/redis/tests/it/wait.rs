//! WAIT and WAITAOF: as redis-server and valkey-server answer them, and what only the
//! simulated server shows.

use crate::client::Client;
use redis_sim::server_process::{NO_VALKEY, RedisServer, skip};
use redis_sim::tcp::TcpServer;
use redis_sim::{Command, Config, Redis, Reply, ServerKind, Session};
use std::time::Duration;

/// Which writes WAIT waits for, by one replica that can be held; the replies are asserted.
fn converse(kind: ServerKind, port: u16, hold: &mut dyn FnMut(bool)) {
    let mut writer = Client::connect(port);
    assert_eq!(writer.ask("SET a 1"), "+OK");
    assert_eq!(writer.ask("WAIT 1 5000"), ":1", "{kind:?}: all is well");
    hold(true);
    assert_eq!(writer.ask("SET a 2"), "+OK");

    let mut fresh = Client::connect(port);
    assert_eq!(fresh.ask("WAIT 1 100"), ":1", "{kind:?}: wrote nothing");
    // An earlier command counts on redis-server, and only a write on valkey-server.
    for (command, reply) in [("PING", "+PONG"), ("GET a", "2"), ("DEL none", ":0")] {
        let mut client = Client::connect(port);
        assert_eq!(client.ask(command), reply);
        let expected = match kind {
            ServerKind::Redis70 | ServerKind::Redis62 => ":0",
            ServerKind::Valkey9 => ":1",
        };
        assert_eq!(client.ask("WAIT 1 100"), expected, "{kind:?}: {command}");
    }
    let mut client = Client::connect(port);
    assert_eq!(client.ask("SET a 2"), "+OK");
    assert_eq!(client.ask("WAIT 1 100"), ":0", "{kind:?}: the same value");
    assert_eq!(client.ask("WAIT 0 0"), ":0", "{kind:?}: none asked for");
    client.ask("MULTI");
    client.ask("WAIT 1 0");
    assert_eq!(client.ask("EXEC"), "*[:0]", "{kind:?}: in a transaction");

    // It holds up its own connection, and no other.
    client.pipeline(&["WAIT 1 0", "PING"]);
    assert_eq!(Client::connect(port).ask("GET a"), "2");
    hold(false);
    assert_eq!(client.reply(), ":1", "{kind:?}: it goes on");
    assert_eq!(client.reply(), "+PONG", "{kind:?}");

    let described = Client::connect(port).ask("COMMAND INFO waitaof");
    let has_waitaof = kind == ServerKind::Valkey9;
    assert_eq!(
        described.starts_with("*[*[waitaof"),
        has_waitaof,
        "{described}"
    );
    for (command, reply) in [
        (
            "WAITAOF 1 0 10",
            "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ),
        (
            "WAITAOF 2 0 10",
            "-ERR value is out of range, value must between 0 and 1",
        ),
        (
            "WAITAOF 0 -1 10",
            "-ERR value is out of range, must be positive",
        ),
        ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
        ("WAITAOF 0 0 0", "*[:0 :0]"),
    ] {
        let told = client.ask(command);
        match kind {
            ServerKind::Valkey9 => assert_eq!(told, reply, "{command}"),
            _ => assert!(told.starts_with("-ERR unknown command"), "{told}"),
        }
    }

    // A primary that is demoted meanwhile.
    hold(true);
    assert_eq!(client.ask("SET a 3"), "+OK");
    client.pipeline(&["WAIT 1 0", "PING"]);
    assert_eq!(Client::connect(port).ask("GET a"), "3");
}

/// The demotion ends the wait, and the connection; what came behind has no reply.
fn is_unblocked(client: &mut Client) {
    assert_eq!(
        client.reply(),
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
    );
    assert_eq!(client.reply(), "", "the connection is closed");
}

fn simulated(kind: ServerKind) -> TcpServer {
    let mut config = Config::wall_clock();
    config.kind = kind;
    let server = TcpServer::start(config).unwrap();
    server.redis().set_replicas(1, Duration::ZERO);
    server
}

/// Would catch a WAIT that is answered at once where servers wait, or waits where they
/// answer, and one that holds up other connections. The conversation is the same for the
/// simulated and the real servers.
#[test]
#[allow(clippy::disallowed_methods, reason = "real servers wait in real time")]
fn wait_answers_as_servers_do() {
    for kind in [ServerKind::Redis70, ServerKind::Valkey9] {
        let server = simulated(kind);
        converse(kind, server.port(), &mut |held| {
            server.redis().hold_replica(0, held);
        });
        let mut client = Client::connect(server.port());
        client.ask("SET a 4");
        client.pipeline(&["WAIT 1 0", "PING"]);
        assert_eq!(Client::connect(server.port()).ask("GET a"), "4");
        server.redis().modes().readonly = true;
        is_unblocked(&mut client);
        let refused = client_error(server.port(), "WAIT 0 0");

        let (primary, replica) = match kind {
            ServerKind::Redis70 | ServerKind::Redis62 => {
                (RedisServer::start().unwrap(), RedisServer::start().unwrap())
            }
            ServerKind::Valkey9 => {
                let started = RedisServer::start_valkey(&[]).unwrap();
                let Some((primary, replica)) = started.zip(RedisServer::start_valkey(&[]).unwrap())
                else {
                    skip(NO_VALKEY);
                    continue;
                };
                (primary, replica)
            }
        };
        let follow = format!("REPLICAOF 127.0.0.1 {}", primary.port());
        Client::connect(replica.port()).ask(&follow);
        let mut probe = Client::connect(primary.port());
        while !probe.ask("INFO replication").contains("state=online") {
            std::thread::sleep(Duration::from_millis(20));
        }
        converse(kind, primary.port(), &mut |held| {
            match held {
                true => replica.stop(),
                false => replica.resume(),
            }
            .unwrap();
        });
        let mut client = Client::connect(primary.port());
        client.ask("SET a 4");
        client.pipeline(&["WAIT 1 0", "PING"]);
        assert_eq!(Client::connect(primary.port()).ask("GET a"), "4");
        probe.ask("REPLICAOF 127.0.0.1 1");
        is_unblocked(&mut client);
        assert_eq!(client_error(primary.port(), "WAIT 0 0"), refused);
        replica.resume().unwrap();
    }
}

fn client_error(port: u16, command: &str) -> String {
    let told = Client::connect(port).ask(command);
    assert!(told.starts_with("-ERR"), "{told}");
    told
}

fn run(redis: &mut Redis, session: &mut Session, line: &str) -> Reply {
    let words = line.split(' ').map(str::as_bytes).map(<[u8]>::to_vec);
    redis.execute(session, &Command::new(words).unwrap())
}

/// Would catch an acknowledgement of what a place had not got: before its delay, of what
/// was written while it was held, or of a restarted server's replica that has not
/// connected again; and a time-out that never comes.
#[test]
fn what_is_acknowledged_was_received() {
    let mut redis = Redis::new(Config {
        kind: ServerKind::Valkey9,
        ..Config::default()
    });
    redis.set_now(1_000);
    redis.configure("appendonly", "yes");
    redis.set_replicas(2, Duration::from_millis(10));
    redis.set_sync_delay(Duration::from_millis(30));
    let mut session = redis.connect().unwrap();
    run(&mut redis, &mut session, "SET a 1");
    assert_eq!(
        run(&mut redis, &mut session, "WAIT 2 100"),
        Reply::Integer(0)
    );
    redis.set_now(1_009);
    assert_eq!(redis.waited(&mut session), None);
    redis.set_now(1_010);
    assert_eq!(redis.waited(&mut session), Some(Reply::Integer(2)));
    assert!(!session.is_waiting());

    redis.hold_replica(0, true);
    redis.hold_disk(true);
    run(&mut redis, &mut session, "SET a 2");
    run(&mut redis, &mut session, "WAIT 2 100");
    redis.set_now(1_109);
    assert_eq!(redis.waited(&mut session), None);
    redis.set_now(1_110);
    assert_eq!(redis.waited(&mut session), Some(Reply::Integer(1)));
    let on_disk = |local| Reply::Array(vec![Reply::Integer(local), Reply::Integer(0)]);
    assert_eq!(run(&mut redis, &mut session, "WAITAOF 1 0 100"), on_disk(0));
    redis.hold_disk(false);
    redis.set_now(1_111);
    redis.set_now(1_141);
    assert_eq!(redis.waited(&mut session), Some(on_disk(1)));

    redis.hold_replica(0, false);
    redis.restart();
    let mut session = redis.connect().unwrap();
    run(&mut redis, &mut session, "SET a 3");
    assert_eq!(run(&mut redis, &mut session, "WAIT 1 0"), Reply::Integer(0));
    redis.set_now(1_151);
    assert_eq!(redis.waited(&mut session), Some(Reply::Integer(2)));
}
