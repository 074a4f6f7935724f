//! A client that shows replies as they were sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection, and what it sent last.
pub(crate) struct Client(BufReader<TcpStream>, String);

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(BufReader::new(stream), String::new())
    }

    pub(crate) fn send(&mut self, command: &str) {
        self.pipeline(&[command]);
    }

    /// Sends commands in one piece.
    pub(crate) fn pipeline(&mut self, commands: &[&str]) {
        self.1 = commands.join(", ");
        let mut sent = String::new();
        for command in commands {
            let words: Vec<_> = command.split(' ').collect();
            sent += &format!("*{}\r\n", words.len());
            for word in words {
                sent += &format!("${}\r\n{word}\r\n", word.len());
            }
        }
        self.0.get_mut().write_all(sent.as_bytes()).unwrap();
    }

    /// A reply, with the first byte of each of its parts; nothing once the connection is closed.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect(&self.1);
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some((kind @ ("*" | ">" | "%" | "~"), count)) if count != "-1" => {
                let count = count.parse::<usize>().unwrap() * if kind == "%" { 2 } else { 1 };
                let parts: Vec<_> = (0..count).map(|_| self.reply()).collect();
                format!("{kind}[{}]", parts.join(" "))
            }
            Some(("$", bytes)) if bytes != "-1" => {
                let mut content = vec![0; bytes.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut content).unwrap();
                String::from_utf8(content).unwrap().trim_end().to_owned()
            }
            _ => line.to_owned(),
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.reply()
    }
}
