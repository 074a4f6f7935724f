//! Histories: what processes asked of the store, what they were told, and what
//! was found at the end.
//!
//! A history is JSON lines, from this harness or any other, or is recorded in
//! process by a [`Recorder`]; checkers treat both alike. Lines are in order
//! of time, which is in nanoseconds and never goes back:
//!
//! ```text
//! {"time":0,"process":"r0","op":1,"type":"invoke","f":"append","value":{"id":"e1"}}
//! {"time":9,"process":"r0","op":1,"type":"ok","value":{"sequence":1,"eventHash":"h1"}}
//! {"time":40,"type":"loss","fault":"failover","hashes":["h2"],"coveredBy":["replicas:1"]}
//! {"time":44,"process":"r0","type":"rollback","sequence":2,"eventHash":"h2"}
//! {"type":"final","chain":[{"op":1,"sequence":1,"previousHash":null,"eventHash":"h1"}]}
//! ```
//!
//! A process may go on after a loss that a record of the chain accepts: one of just these
//! sequences (`from`, `to`), or, if no `lost` is named, any that was made under a key that
//! processes share (`keyed`). Of the records that accept losses the final line tells, also of
//! those that were lost:
//!
//! ```text
//! {"time":46,"process":"r0","type":"accept","lost":[2,3]}
//! {"time":47,"process":"r1","type":"accept"}
//! {"type":"final","chain":[…],"accepted":[{"sequence":2,"eventHash":"h9","from":2,"to":3,"headHash":"h3","keyed":true}]}
//! ```
//!
//! A process that begins with what it had seen before has seen it, too:
//!
//! ```text
//! {"time":48,"process":"r2","type":"knows","sequence":2,"eventHash":"h2"}
//! {"time":48,"process":"r2","type":"knows","op":7}
//! ```
//!
//! that is, a record of the chain, or that mutate 7 was applied to the vault.
//!
//! Of the vault, whose versions count its mutations, `null` being an absent token
//! or a delete:
//!
//! ```text
//! {"time":50,"process":"r0","op":2,"type":"invoke","f":"mutate"}
//! {"time":59,"process":"r0","op":2,"type":"ok","value":{"reads":{"t1":null},"writes":{"t1":"v1"},"version":1}}
//! {"time":60,"process":"r1","op":3,"type":"invoke","f":"read"}
//! {"time":69,"process":"r1","op":3,"type":"ok","value":{"tokens":{"t1":"v1"},"undecryptable":["t1"]}}
//! {"time":70,"type":"loss","fault":"failover","tokens":["t1"],"versions":[1]}
//! {"time":74,"process":"r0","type":"rollback","version":1}
//! {"type":"final","tokens":{},"version":0}
//! ```
//!
//! The calls of a vault's users are operations too: `f` is tokenize, reveal,
//! detokenize, purge or purge_expired, the value as of a read: of tokenize, reveal
//! and detokenize, each token's plaintext (or whatever stands for it, a hash for
//! example); of purge_expired, when each token ended, in milliseconds since the Unix
//! epoch, with the `clock` by which that was decided. What audit records attest is in
//! the final line, `"audit"` in an entry of the chain, or `"audits"` for records kept
//! elsewhere; it may name the call that wrote it, `"op":4`:
//!
//! ```text
//! {"time":80,"process":"r0","op":4,"type":"invoke","f":"reveal"}
//! {"time":89,"process":"r0","op":4,"type":"ok","value":{"tokens":{"t1":"p1"}}}
//! {"time":90,"process":"r0","op":5,"type":"invoke","f":"purge_expired"}
//! {"time":99,"process":"r0","op":5,"type":"ok","value":{"tokens":{"t2":"5000"},"clock":{"server":5001,"own":5002}}}
//! {"type":"final","tokens":{},"audits":[{"operation":"token-vault:reveal","tokens":["t1"]},{"operation":"token-vault:purge-expired","tokens":["t2"]}]}
//! ```
//!
//! A mutate may carry its value on a line of type unknown or fail, too: what it
//! would have done, where that was decided. `undecryptable` names the live tokens
//! that did not reveal.
//!
//! # Record one, and check it
//!
//! ```
//! use haechi_history::check::check;
//! use haechi_history::{Appended, ChainEntry, FinalState, Function, Outcome, Recorder, Text};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut recorder = Recorder::new();
//! let append = recorder.invoke(0, "r0", Function::Append, Some("e1"))?;
//! let appended = Appended { sequence: 1, event_hash: "h1".into(), durability: None };
//! recorder.end(9, append, Outcome::Appended(appended), None)?;
//! // What was found at the end: the acknowledged record is gone.
//! let chain: Vec<ChainEntry<Text<'_>>> = Vec::new();
//! recorder.final_state(FinalState { chain: Some(chain), ..FinalState::default() })?;
//!
//! let verdict = check(&recorder.into_history())?;
//! assert_eq!(verdict.violations[0].invariant.name(), "lost_append");
//! # Ok(())
//! # }
//! ```
//!
//! [`read`] takes the same history from a file, [`write`](write()) puts it into one.
//!
//! # What else the format says
//!
//! A process name is that of one memory: a replica that restarts without its
//! memory goes on under a new name. `"foreign":true` on an invoke line marks its
//! process as one that follows the reference's protocol. Members that the format
//! does not know are skipped.
//!
//! Whatever breaks the *format* (an end without an invoke, time going back) is a
//! [`Malformed`], met while the history is built, so that every [`History`] is
//! well formed and a checker sees only what the store did.

pub mod check;
mod codec;
mod event;
mod history;
mod map_text;
mod paths;
mod recorder;
mod symbols;
mod tokens;

pub use codec::{ReadError, read, write};
pub use event::{
    Accept, AcceptedLoss, Appended, Audit, ChainEntry, ChainRead, Clock, Durability, End, Event,
    FinalState, Function, Invoke, Known, Knows, Loss, Mutation, OpId, Outcome, Rollback, Seen,
    Split, Text, VaultRead,
};
pub use history::{History, LogEntry, Malformed, Operation};
pub use paths::{PathId, Paths};
pub use recorder::Recorder;
pub use symbols::{Symbol, Symbols};
pub use tokens::TokenMap;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
