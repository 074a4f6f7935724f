//! Replacing the texts of a value: by symbols on reading, by texts on writing.

use crate::event::{
    Accept, AcceptedLoss, Appended, Audit, ChainEntry, FinalState, Known, Knows, Loss, Mutation,
    Outcome, Rollback, Seen, Split, VaultRead,
};
use crate::tokens::TokenMap;

impl<T, C> Outcome<T, C> {
    pub(crate) fn map<U, D>(
        &self,
        text: &mut impl FnMut(&T) -> U,
        chain: impl FnOnce(&C) -> D,
    ) -> Outcome<U, D> {
        let mut attempt = |attempt: &Option<Mutation<T>>| attempt.as_ref().map(|it| it.map(text));
        match self {
            Self::Appended(appended) => Outcome::Appended(appended.map(text)),
            Self::Chain(read) => Outcome::Chain(chain(read)),
            Self::Mutated(mutation) => Outcome::Mutated(mutation.map(text)),
            Self::Tokens(read) => Outcome::Tokens(read.map(text)),
            Self::Failed(mutation) => Outcome::Failed(attempt(mutation)),
            Self::Unknown(mutation) => Outcome::Unknown(attempt(mutation)),
        }
    }
}

fn all<T, U>(texts: &[T], text: &mut impl FnMut(&T) -> U) -> Vec<U> {
    texts.iter().map(text).collect()
}

impl<T> Appended<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Appended<U> {
        Appended {
            sequence: self.sequence,
            event_hash: text(&self.event_hash),
            durability: self.durability,
        }
    }
}

impl<T> Mutation<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Mutation<U> {
        let mut values = |values: &TokenMap<T, Option<T>>| {
            let pairs = values.iter();
            pairs
                .map(|(token, value)| (text(token), value.as_ref().map(&mut *text)))
                .collect()
        };
        Mutation {
            reads: values(&self.reads),
            writes: values(&self.writes),
            version: self.version,
            durability: self.durability,
        }
    }
}

impl<T> TokenMap<T, T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> TokenMap<U, U> {
        self.iter()
            .map(|(token, value)| (text(token), text(value)))
            .collect()
    }
}

impl<T> VaultRead<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> VaultRead<U> {
        VaultRead {
            tokens: self.tokens.map(text),
            undecryptable: all(&self.undecryptable, text),
            clock: self.clock,
        }
    }
}

impl<T> Audit<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Audit<U> {
        Audit {
            operation: text(&self.operation),
            tokens: all(&self.tokens, text),
            op: self.op,
        }
    }
}

impl<T> FinalState<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> FinalState<U> {
        let mut entry = |entry: &ChainEntry<T>| ChainEntry {
            op: entry.op,
            sequence: entry.sequence,
            previous_hash: entry.previous_hash.as_ref().map(&mut *text),
            event_hash: text(&entry.event_hash),
            audit: entry.audit.as_ref().map(|audit| audit.map(text)),
        };
        let chain = self.chain.as_ref();
        FinalState {
            chain: chain.map(|chain| chain.iter().map(&mut entry).collect()),
            tokens: self.tokens.as_ref().map(|tokens| tokens.map(text)),
            version: self.version,
            audits: self.audits.iter().map(|audit| audit.map(text)).collect(),
            accepted: self.accepted.iter().map(|loss| loss.map(text)).collect(),
        }
    }
}

impl<T> AcceptedLoss<T> {
    fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> AcceptedLoss<U> {
        AcceptedLoss {
            sequence: self.sequence,
            event_hash: text(&self.event_hash),
            from: self.from,
            to: self.to,
            head_hash: text(&self.head_hash),
            keyed: self.keyed,
        }
    }
}

impl<T> Accept<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Accept<U> {
        Accept {
            time: self.time,
            process: text(&self.process),
            lost: self.lost,
        }
    }
}

impl<T> Knows<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Knows<U> {
        Knows {
            time: self.time,
            process: text(&self.process),
            what: match &self.what {
                Known::Record {
                    sequence,
                    event_hash,
                } => Known::Record {
                    sequence: *sequence,
                    event_hash: text(event_hash),
                },
                Known::Mutate { op } => Known::Mutate { op: *op },
            },
        }
    }
}

impl<T> Loss<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Loss<U> {
        Loss {
            time: self.time,
            fault: text(&self.fault),
            hashes: all(&self.hashes, text),
            tokens: all(&self.tokens, text),
            versions: self.versions.clone(),
            covered_by: self.covered_by.clone(),
            split: self.split.as_ref().map(|split| Split {
                since: split.since,
                processes: all(&split.processes, text),
                moving: split.moving,
            }),
            key_by_key: self.key_by_key,
            ops: self.ops.clone(),
            receipts: self.receipts,
        }
    }
}

impl<T> Rollback<T> {
    pub(crate) fn map<U>(&self, text: &mut impl FnMut(&T) -> U) -> Rollback<U> {
        Rollback {
            time: self.time,
            process: text(&self.process),
            seen: match &self.seen {
                Seen::Record {
                    sequence,
                    event_hash,
                } => Seen::Record {
                    sequence: *sequence,
                    event_hash: text(event_hash),
                },
                Seen::Version { version } => Seen::Version { version: *version },
            },
        }
    }
}
