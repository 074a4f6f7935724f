//! Publish and subscribe: who has subscribed to which channels and patterns, and the messages
//! that a connection has not been sent yet.

use super::cmd::glob;
use super::reply::Reply;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// What a connection subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Channel,
    Pattern,
}

/// The connections of each channel, or of each pattern.
type Subscribers = BTreeMap<Bytes, BTreeSet<u64>>;

#[derive(Debug, Default)]
pub(super) struct PubSub {
    channels: Subscribers,
    patterns: Subscribers,
    messages: BTreeMap<u64, Vec<Reply>>,
}

impl PubSub {
    pub(super) fn of(&self, topic: Topic) -> &Subscribers {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
        }
    }

    fn of_mut(&mut self, topic: Topic) -> &mut Subscribers {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }

    /// The channels, or patterns, of a connection.
    pub(super) fn names(&self, topic: Topic, id: u64) -> Vec<Bytes> {
        let of_it = self.of(topic).iter().filter(|(_, ids)| ids.contains(&id));
        of_it.map(|(name, _)| name.clone()).collect()
    }

    /// How many channels and patterns a connection has.
    pub(super) fn count(&self, id: u64) -> usize {
        let both = self.channels.values().chain(self.patterns.values());
        both.filter(|ids| ids.contains(&id)).count()
    }

    pub(super) fn subscribe(&mut self, topic: Topic, id: u64, name: &Bytes) {
        let ids = self.of_mut(topic);
        let ids = ids.entry(Bytes::copy_from_slice(name)).or_default();
        ids.insert(id);
    }

    pub(super) fn unsubscribe(&mut self, topic: Topic, id: u64, name: &[u8]) {
        let subscribers = self.of_mut(topic);
        if let Some(ids) = subscribers.get_mut(name) {
            ids.remove(&id);
            if ids.is_empty() {
                subscribers.remove(name);
            }
        }
    }

    /// The connection has ended, or starts anew.
    pub(super) fn forget(&mut self, id: u64) {
        for topic in [Topic::Channel, Topic::Pattern] {
            for name in self.names(topic, id) {
                self.unsubscribe(topic, id, &name);
            }
        }
        self.messages.remove(&id);
    }

    /// Sends a message. How often it was sent.
    pub(super) fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> usize {
        let copy = |word: &Bytes| Reply::text(word);
        let mut sent = Vec::new();
        for id in self.channels.get(channel).into_iter().flatten() {
            let message = vec![Reply::text("message"), copy(channel), copy(payload)];
            sent.push((*id, message));
        }
        for (pattern, ids) in &self.patterns {
            if glob(pattern, channel) {
                let message = || {
                    let head = [Reply::text("pmessage"), Reply::Bulk(pattern.clone())];
                    head.into_iter().chain([copy(channel), copy(payload)])
                };
                sent.extend(ids.iter().map(|id| (*id, message().collect())));
            }
        }
        let count = sent.len();
        for (id, message) in sent {
            self.messages
                .entry(id)
                .or_default()
                .push(Reply::Push(message));
        }
        count
    }

    /// The messages that a connection has not been sent yet.
    pub(super) fn take(&mut self, id: u64) -> Vec<Reply> {
        self.messages.remove(&id).unwrap_or_default()
    }
}
