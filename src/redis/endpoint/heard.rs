//! What Sentinels have said of the primary, and when a connection must be cut. It asks
//! nobody.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::watch;

use super::nodes::NodeAddress;
use crate::{error::Cause, health::Health};

/// What a Sentinel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Primary {
    /// Counts failovers.
    pub(super) epoch: u64,
    pub(super) node: NodeAddress,
}

/// What the Sentinels have said last, to all connections of an endpoint.
#[derive(Default)]
pub(super) struct Heard {
    /// What counts.
    primary: Option<Primary>,
    /// When one of them answered last.
    answered: Duration,
    /// Since when most of them name another primary without a later epoch.
    contradicted: Option<Duration>,
    /// Why none of them answers.
    silent: Option<Cause>,
    /// Tells the connections, while there are any.
    word: Weak<watch::Sender<Word>>,
}

/// What connections are told.
struct Word {
    primary: Primary,
    /// Why nothing may be written, whoever is the primary.
    stop: Option<Arc<str>>,
}

impl Heard {
    /// What counts, after these answers of some of `all` Sentinels. The latest epoch does:
    /// a Sentinel that has not heard of a failover is overruled by one that has, also after
    /// that has fallen silent. If most of them name another primary for as long as
    /// `forget`, without a later epoch, they are believed: they were set up anew, or will
    /// never hear of that failover.
    pub(super) fn answered(
        &mut self,
        answers: &[Primary],
        all: usize,
        now: Duration,
        forget: Duration,
    ) -> Option<Primary> {
        // Of equal epochs, the one that was answered first.
        let latest = answers.iter().rev().max_by_key(|answer| answer.epoch)?;
        self.answered = now;
        self.silent = None;
        let stands = match &self.primary {
            Some(known) if latest.epoch <= known.epoch => {
                let contradict = !answers.contains(known) && 2 * answers.len() > all;
                let since = contradict.then(|| self.contradicted.unwrap_or(now));
                self.contradicted = since;
                since.is_none_or(|since| now.saturating_sub(since) < forget)
            }
            _ => false,
        };
        if !stands {
            self.primary = Some(latest.clone());
            self.contradicted = None;
        }
        let primary = self.primary.clone()?;
        self.tell(|word| {
            word.primary = primary.clone();
            word.stop = None;
        });
        Some(primary)
    }

    /// None of them has answered; whether that is new. After `stop_after` without an answer
    /// nothing may be written.
    pub(super) fn silent(
        &mut self,
        why: Cause,
        now: Duration,
        stop_after: Option<Duration>,
    ) -> bool {
        let silence = now.saturating_sub(self.answered);
        if stop_after.is_some_and(|most| silence >= most) {
            let silence = silence.as_millis();
            let why = format!("no Sentinel has answered for {silence} ms: {why}");
            self.tell(|word| word.stop = Some(why.as_str().into()));
        }
        self.silent.replace(why).is_none()
    }

    fn tell(&self, change: impl FnOnce(&mut Word)) {
        if let Some(word) = self.word.upgrade() {
            word.send_modify(change);
        }
    }

    /// Whether failovers would be noticed.
    pub(super) fn health(&self, now: Duration) -> Health {
        match &self.silent {
            None => Health::Serving,
            Some(cause) => Health::Unwatched {
                lasting: now.saturating_sub(self.answered),
                cause: cause.clone(),
            },
        }
    }

    /// The watch over a connection to `node`, which was opened when `named` was what counts;
    /// and whoever tells, if a task has to be started that asks the Sentinels for it.
    pub(super) fn watch(&mut self, named: Primary, node: NodeAddress) -> (Watched, Option<Teller>) {
        let (word, teller) = match self.word.upgrade() {
            Some(word) => (word.subscribe(), None),
            None => {
                // Another dial may have heard of a later one meanwhile.
                let primary = self.primary.clone().unwrap_or_else(|| named.clone());
                let (word, receiver) = watch::channel(Word {
                    primary,
                    stop: None,
                });
                let word = Arc::new(word);
                self.word = Arc::downgrade(&word);
                (receiver, Some(Teller(word)))
            }
        };
        (Watched { word, named, node }, teller)
    }
}

/// Keeps the connections told: when it is dropped, all of them are cut.
pub(super) struct Teller(Arc<watch::Sender<Word>>);

impl Teller {
    /// Returns when there is no connection.
    pub(super) async fn is_idle(&self) {
        self.0.closed().await;
    }

    /// Ends the watch, unless there is a connection after all.
    pub(super) fn end(&self, heard: &mut Heard) -> bool {
        let ends = self.0.is_closed();
        if ends {
            heard.word = Weak::new();
        }
        ends
    }
}

/// A connection that is watched.
#[derive(Clone)]
pub(super) struct Watched {
    word: watch::Receiver<Word>,
    /// What counted when it was opened.
    named: Primary,
    /// Where it leads: to the primary of a replica that was named, for example.
    node: NodeAddress,
}

impl Watched {
    /// Returns when the connection must be cut, and why.
    pub(super) async fn cut(&mut self) -> String {
        let Self { word, named, node } = self;
        let cuts = |word: &Word| {
            word.stop.is_some() || (word.primary != *named && word.primary.node != *node)
        };
        match word.wait_for(cuts).await {
            Err(_) => "the primary is not watched any more".to_owned(),
            Ok(word) => match &word.stop {
                Some(why) => why.to_string(),
                None => format!(
                    "Sentinel names {} as the primary now, not {node}",
                    word.primary.node
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn names(epoch: u64, port: u16) -> Primary {
        let host = "h".to_owned();
        let node = NodeAddress { host, port };
        Primary { epoch, node }
    }

    const FORGET: Duration = Duration::from_secs(10);

    /// What counts after each of these answers of three Sentinels, at these seconds.
    fn counts(answers: &[(u64, &[(u64, u16)])]) -> Vec<u16> {
        let mut heard = Heard::default();
        let counts = answers.iter().map(|(second, answers)| {
            let answers: Vec<Primary> = answers.iter().map(|(e, port)| names(*e, *port)).collect();
            let now = Duration::from_secs(*second);
            heard.answered(&answers, 3, now, FORGET).unwrap().node.port
        });
        counts.collect()
    }

    /// Would catch a return to the deposed primary when the only Sentinel that has told of
    /// the failover falls silent.
    #[test]
    fn an_earlier_epoch_does_not_count_again() {
        let told = counts(&[
            (0, &[(5, 7), (6, 8), (5, 7)]),
            (1, &[(5, 7), (5, 7)]),
            (2, &[(5, 7)]),
            (9, &[(5, 7), (5, 7)]),
            (10, &[(5, 7), (6, 8)]),
            (19, &[(5, 7), (5, 7)]),
        ]);
        assert_eq!(told, [8; 6]);
    }

    /// Would catch a process that follows Sentinels which were set up anew never, because
    /// their epochs begin at 0; or at once; or because a few of them say so.
    #[test]
    fn sentinels_that_were_set_up_anew_count_after_a_time() {
        for epoch in [0, 5] {
            let anew: &[_] = &[(epoch, 8), (epoch, 8), (epoch, 8)];
            let told = counts(&[(0, &[(5, 7)]), (1, anew), (10, anew), (11, anew)]);
            assert_eq!(told, [7, 7, 7, 8], "{epoch}");
            let one: &[_] = &[(epoch, 8)];
            let told = counts(&[(0, &[(5, 7)]), (1, one), (12, one), (13, anew), (23, anew)]);
            assert_eq!(told, [7, 7, 7, 7, 8], "{epoch}");
        }
    }

    /// Would catch a connection to the deposed primary, if another dial of the same moment
    /// has heard of the failover, and one to the new primary that is cut for it.
    #[tokio::test]
    async fn a_dial_that_was_overtaken_is_cut() {
        let mut heard = Heard::default();
        let (old, new) = (names(5, 7), names(6, 8));
        for answer in [&old, &new] {
            heard.answered(std::slice::from_ref(answer), 1, Duration::ZERO, FORGET);
        }
        let (mut overtaken, _teller) = heard.watch(old.clone(), old.node);
        assert!(overtaken.cut().await.contains("names h:8"));
        let (mut up_to_date, _) = heard.watch(new.clone(), new.node);
        assert!(up_to_date.cut().now_or_never().is_none());
    }

    /// Would catch a silence that is not told, one that lasts from its end, and one that is
    /// told for ever.
    #[test]
    fn silence_is_told_until_it_ends() {
        let at = Duration::from_secs;
        let mut heard = Heard::default();
        heard.answered(&[names(5, 7)], 1, at(10), FORGET);
        assert_eq!(heard.health(at(11)), Health::Serving);
        assert!(heard.silent(Cause::new("hung"), at(12), None));
        assert!(!heard.silent(Cause::new("down"), at(13), None));
        let health = Health::Unwatched {
            lasting: at(10),
            cause: Cause::new("down"),
        };
        assert_eq!(heard.health(at(20)), health);
        assert!(health.is_serving());
        heard.answered(&[names(5, 7)], 1, at(21), FORGET);
        assert_eq!(heard.health(at(22)), Health::Serving);
    }
}
