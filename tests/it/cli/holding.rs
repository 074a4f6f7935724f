//! A proxy that catches one command on its way, or its reply.
#![expect(
    clippy::disallowed_methods,
    reason = "threads of a proxy for blocking processes"
)]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use redis_sim::server_process::RedisServer;

/// What happens to the commands in which the marker occurs, and to what follows
/// on their connections.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Catch {
    /// They are kept; nobody answers.
    Command,
    /// They are forwarded, and no reply is.
    Reply,
}

/// The running proxy.
pub(crate) struct Holding {
    pub(crate) url: String,
    server: String,
    caught: Receiver<Vec<u8>>,
}

impl Holding {
    pub(crate) fn new(server: &RedisServer, marker: &str, catch: Catch) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let server = format!("127.0.0.1:{}", server.port());
        let (sender, caught) = channel();
        let (upstream, marker) = (server.clone(), marker.as_bytes().to_vec());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (sender, upstream, marker) = (sender.clone(), upstream.clone(), marker.clone());
                thread::spawn(move || forward(client.unwrap(), &upstream, &marker, catch, &sender));
            }
        });
        Self {
            url,
            server,
            caught,
        }
    }

    /// Waits until a command is caught.
    pub(crate) fn caught(&self) -> Vec<u8> {
        self.caught.recv().unwrap()
    }

    /// Sends a command that was caught, and returns what is replied.
    pub(crate) fn deliver(&self, command: &[u8]) -> String {
        let mut redis = TcpStream::connect(&self.server).unwrap();
        redis.write_all(command).unwrap();
        let mut reply = [0; 4096];
        let length = redis.read(&mut reply).unwrap();
        String::from_utf8_lossy(&reply[..length]).into_owned()
    }
}

fn forward(
    mut client: TcpStream,
    upstream: &str,
    marker: &[u8],
    catch: Catch,
    caught: &Sender<Vec<u8>>,
) {
    let Ok(mut redis) = TcpStream::connect(upstream) else {
        return;
    };
    let (mut replies, mut back) = (redis.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut replies, &mut back);
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let bytes = &buffer[..length];
        let is_marked = bytes.windows(marker.len()).any(|window| window == marker);
        if is_marked && catch == Catch::Reply {
            // The client sees the end of the connection instead.
            let _ = client.shutdown(Shutdown::Write);
        }
        let is_forwarded = !is_marked || catch == Catch::Reply;
        if is_forwarded && redis.write_all(bytes).is_err() {
            return;
        }
        if is_marked {
            // The test may have ended.
            let _ = caught.send(bytes.to_vec());
        }
    }
}
