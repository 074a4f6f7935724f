//! Waits until what a script found is on disk or on replicas.
//!
//! `WAIT` and `WAITAOF` cover what their own connection wrote, and all that the
//! server wrote before that; what follows them there waits too. So a script looks
//! for what is to be confirmed and writes some of it again; the wait follows it in the
//! same round trip, on a connection that nothing else uses. This holds after a reconnect
//! or a failover as well: the record is looked for where the wait is asked.

use std::time::Duration;

use redis::{Cmd, RedisError, Value, cmd};

use super::{
    connect::Connect,
    link::Link,
    outcome::{Stage, classify},
    script::Script,
};
use crate::{
    clock::Clock,
    durability::{Durability, DurabilityStatus},
    error::AttemptError,
};

/// The connection of the waits of one store.
pub(super) struct DurableLink<N: Connect, C> {
    level: Durability,
    link: Link<N, C>,
}

impl<N: Connect, C: Clock> DurableLink<N, C> {
    /// Waits for `level` at the Redis of `link`.
    pub(super) fn new(link: &Link<N, C>, level: Durability) -> Self {
        Self {
            level,
            link: link.another(),
        }
    }

    pub(super) fn level(&self) -> Durability {
        self.level
    }

    /// Runs a script that writes, and returns its reply and whether that write, and
    /// all before it, is as durable as asked.
    pub(super) async fn run(
        &self,
        script: &Script,
        call: &Cmd,
    ) -> Result<(Value, DurabilityStatus), AttemptError> {
        let patience = self.link.timeouts().durability;
        let wait = match self.level {
            Durability::Memory => {
                let reply = self.link.run(script, call).await?;
                return Ok((reply, DurabilityStatus::AsAsked));
            }
            Durability::Fsync => wait("WAITAOF", &[1, 0], patience),
            Durability::Replicas(count) => wait("WAIT", &[count.get()], patience),
        };
        let (reply, waited) = self
            .link
            .run_and_wait(script, call, &wait, patience)
            .await?;
        Ok((reply, self.status(waited, patience)))
    }

    fn status(&self, waited: Result<Value, RedisError>, patience: Duration) -> DurabilityStatus {
        let millis = patience.as_millis();
        let why = match (self.level, waited) {
            (Durability::Fsync, Ok(Value::Array(counts))) => match counts.as_slice() {
                [Value::Int(1..), _] => return DurabilityStatus::AsAsked,
                _ => format!(
                    "Redis had not written it to disk within {millis} ms; look at its disk, and \
                     at appendfsync"
                ),
            },
            (Durability::Replicas(asked), Ok(Value::Int(count))) => {
                if count >= i64::from(asked.get()) {
                    return DurabilityStatus::AsAsked;
                }
                format!(
                    "{count} of {asked} replicas had it within {millis} ms; look at INFO \
                     replication"
                )
            }
            (_, Ok(_)) => "the reply to the wait has another shape than Redis's".to_owned(),
            // Also UNBLOCKED: the primary was demoted meanwhile.
            (_, Err(error)) => match classify(&error, Stage::Sent) {
                AttemptError::Refused(cause)
                | AttemptError::Denied(cause)
                | AttemptError::Ambiguous(cause) => cause.to_string(),
                AttemptError::Corrupt(corrupt) => corrupt.to_string(),
            },
        };
        DurabilityStatus::NotYet(why)
    }
}

/// A command that waits for at most `patience`; a time-out of 0 would be none.
pub(super) fn wait(name: &str, counts: &[u32], patience: Duration) -> Cmd {
    let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let mut wait = cmd(name);
    wait.arg(counts).arg(millis.clamp(1, i64::MAX as u64));
    wait
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use redis::ErrorKind;

    use super::*;
    use crate::{
        redis::Timeouts,
        test_util::{Answer, AutoClock, ScriptedServer},
    };

    /// Would catch a connection that breaks during the wait, and is taken for a
    /// shortfall: the next one can tell.
    #[test]
    fn a_connection_that_breaks_during_the_wait_is_no_answer() {
        let cut = Answer::Error((ErrorKind::Io, "cut").into());
        let server = ScriptedServer::scripted([Answer::Reply(Value::Okay), cut]);
        let clock = AutoClock::default();
        let link = Link::new(server, clock.clone(), Timeouts::default());
        let durable = DurableLink::new(&link, Durability::Fsync);
        let script = Script::new("return 1");
        let call = script.call(&[]);
        let ended = clock.run(durable.run(&script, &call)).unwrap();
        assert!(
            matches!(ended, Err(AttemptError::Ambiguous(_))),
            "{ended:?}"
        );
    }

    /// Would catch a count that is not compared, and a wait's error that is taken
    /// for one of the write, or for its confirmation.
    #[test]
    fn only_the_count_that_was_asked_for_is_as_asked() {
        let count = |count| Answer::Reply(Value::Int(count));
        let of_disk = |local, replicas| {
            Answer::Reply(Value::Array(vec![Value::Int(local), Value::Int(replicas)]))
        };
        let two = Durability::Replicas(NonZeroU32::MIN.saturating_add(1));
        for (level, answer, is_as_asked) in [
            (two, count(0), false),
            (two, count(1), false),
            (two, count(2), true),
            (two, count(3), true),
            (two, Answer::Reply(Value::Nil), false),
            (
                two,
                Answer::error("UNBLOCKED", "instance state changed"),
                false,
            ),
            (
                two,
                Answer::error("NOPERM", "no permission to run 'wait'"),
                false,
            ),
            (Durability::Fsync, of_disk(1, 0), true),
            (Durability::Fsync, of_disk(0, 0), false),
            (Durability::Fsync, of_disk(0, 1), false),
            (Durability::Fsync, count(1), false),
            (
                Durability::Fsync,
                Answer::error("ERR", "unknown command 'WAITAOF'"),
                false,
            ),
        ] {
            let case = format!("{level} {answer:?}");
            let server = ScriptedServer::scripted([Answer::Reply(Value::Okay), answer]);
            let clock = AutoClock::default();
            let link = Link::new(server, clock.clone(), Timeouts::default());
            let durable = DurableLink::new(&link, level);
            let script = Script::new("return 1");
            let call = script.call(&[]);
            let (reply, status) = clock.run(durable.run(&script, &call)).unwrap().unwrap();
            assert_eq!(reply, Value::Okay, "{case}");
            assert_eq!(status.is_as_asked(), is_as_asked, "{case}: {status:?}");
        }
    }
}
