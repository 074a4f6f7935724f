//! What happens to the commands and replies of one connection.

use std::sync::{Arc, atomic::Ordering};

use redis_sim::{
    Command, Reply,
    server::{After, Before, ConnId},
};
use tokio::sync::Notify;

use super::{schedule::server_name, setup::millis, world::Shared};
use crate::{
    record::replica_name,
    world::{brief, what_of_command, what_of_reply},
};

/// The most characters of a word, and words of a command, in a trace.
const MAX_TEXT: usize = 40;
const MAX_WORDS: usize = 8;

/// Applies the faults of a server to one connection.
pub(super) struct Gate {
    shared: Arc<Shared>,
    server: usize,
    process: usize,
    connection: u64,
    /// The call that was under way when its newest command came; 0 for none.
    call: usize,
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>, server: usize, process: usize) -> Self {
        Self {
            shared,
            server,
            process,
            connection: 0,
            call: 0,
        }
    }

    fn trace(&self, command: &Command, what: &str) {
        let words = command.words().iter().take(MAX_WORDS).map(|word| {
            let word = String::from_utf8_lossy(word);
            match word.char_indices().nth(MAX_TEXT) {
                Some((end, _)) => format!("{}…", &word[..end]),
                None => word.into_owned(),
            }
        });
        let words = words.collect::<Vec<_>>().join(" ");
        let (server, process) = (server_name(self.server), replica_name(self.process));
        let call = match self.call {
            0 => String::new(),
            call => format!(" for call {call}"),
        };
        self.shared
            .trace(&format!("{process} to {server}{call}: {words}: {what}"));
    }
}

impl redis_sim::server::Gate for Gate {
    fn opened(&mut self, _: ConnId) -> Option<Arc<Notify>> {
        let mut faults = self.shared.servers[self.server].faults.lock();
        let (connection, cut) = faults.open(self.process, self.server);
        self.connection = connection;
        Some(cut)
    }

    fn before(&mut self, _: ConnId, command: &Command) -> Before {
        let now = millis(self.shared.now());
        let process = &self.shared.processes[self.process];
        self.call = process.call.load(Ordering::Relaxed);
        let faults = &self.shared.servers[self.server].faults;
        let verdict = faults
            .lock()
            .arrival(self.process, self.connection, command, now);
        if verdict != Before::Run {
            self.trace(command, &what_of_command(&verdict));
        }
        verdict
    }

    fn after(&mut self, _: ConnId, command: &Command, reply: &Reply) -> After {
        let faults = &self.shared.servers[self.server].faults;
        let verdict = faults.lock().departure(self.process, reply, false);
        let then = what_of_reply(&verdict);
        self.trace(command, &format!("{}{then}", brief(reply)));
        verdict
    }

    fn closed(&mut self, _: ConnId) {
        let mut faults = self.shared.servers[self.server].faults.lock();
        faults.close(self.connection);
    }
}
