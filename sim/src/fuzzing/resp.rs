//! The wire format: the simulated Redis reads or rejects any bytes, and the
//! real client can read its replies.

use bytes::BytesMut;
use redis::{Value, parse_redis_value};

use super::in_process::Server;
use redis_sim::{Reply, next_command};

/// One run on `data`.
pub fn resp(data: &[u8]) {
    let server = Server::start();
    let mut redis = server.lock();
    let mut session = redis.connect().expect("no limit is set");
    // At once and byte by byte: the commands must be the same.
    let whole = commands(&mut BytesMut::from(data));
    let mut input = BytesMut::new();
    let mut pieces = Vec::new();
    for byte in data {
        input.extend_from_slice(&[*byte]);
        let (commands, error) = commands(&mut input);
        pieces.extend(commands);
        if error.is_some() {
            break;
        }
    }
    assert_eq!(
        whole.0, pieces,
        "commands depend on how the bytes are split"
    );
    for command in &whole.0 {
        let reply = redis.execute(&mut session, command);
        let mut encoded = BytesMut::new();
        reply.encode(&mut encoded);
        match parse_redis_value(&encoded) {
            Ok(read) => assert!(agrees(&reply, &read), "{reply:?} was read as {read:?}"),
            // An error repeats arbitrary bytes of the command; the client
            // requires errors to be UTF-8.
            Err(error) => assert!(!is_text(&reply), "{reply:?}: {error}"),
        }
    }
    redis.disconnect(&session);
}

fn commands(input: &mut BytesMut) -> (Vec<redis_sim::Command>, Option<String>) {
    let mut commands = Vec::new();
    loop {
        match next_command(input) {
            Ok(Some(command)) => commands.push(command),
            Ok(None) => return (commands, None),
            Err(error) => return (commands, Some(error)),
        }
    }
}

fn is_text(reply: &Reply) -> bool {
    match reply {
        Reply::Status(text) | Reply::Error(text) => std::str::from_utf8(text).is_ok(),
        Reply::Array(parts) => parts.iter().all(is_text),
        _ => true,
    }
}

fn agrees(reply: &Reply, read: &Value) -> bool {
    match (reply, read) {
        (Reply::Integer(sent), Value::Int(read)) => sent == read,
        (Reply::Bulk(sent), Value::BulkString(read)) => sent == read,
        (Reply::Array(sent), Value::Array(read)) => {
            sent.len() == read.len() && sent.iter().zip(read).all(|(a, b)| agrees(a, b))
        }
        (Reply::Nil | Reply::NilArray, Value::Nil)
        | (Reply::Status(_), Value::SimpleString(_) | Value::Okay)
        | (Reply::Error(_), Value::ServerError(_)) => true,
        _ => false,
    }
}
