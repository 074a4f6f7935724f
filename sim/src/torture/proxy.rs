//! The way of one replica to redis-server: a TCP proxy that delays commands and
//! replies, and cuts connections before a command runs, after it, or in the
//! middle of its reply.
//!
//! It must not know what a command means, or who decides what strikes.

use std::{
    collections::VecDeque,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use haechi_store_redis::clock::{Clock, SystemClock};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use super::{
    frame,
    plan::{Kind, Tally, Trouble},
};
use crate::fault::FaultKind;

/// Of a hundred commands, how many are late while some are.
const LATE_PERCENT: u32 = 40;

/// How long a connection takes.
const CONNECTING: Duration = Duration::from_millis(2);

/// What strikes the connections of one replica at this moment.
#[derive(Clone)]
pub(super) struct Way(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Whether nothing passes, in either direction.
    held: watch::Sender<bool>,
    clock: SystemClock,
    tally: Tally,
}

struct State {
    active: Vec<Active>,
    rng: ChaCha8Rng,
}

/// A fault that strikes at this moment.
#[derive(Clone, Copy)]
struct Active {
    trouble: Trouble,
    /// Whether it has struck a command.
    has_struck: bool,
    /// Whether its time is over: it waits for the first command that it can
    /// strike, and is gone then.
    is_over: bool,
}

/// What happens to one command.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Pass,
    CutBefore,
    CutAfter,
    CutMidReply,
    LateCommand(Duration),
    LateReply(Duration),
}

impl Way {
    pub(super) fn new(rng: ChaCha8Rng, clock: SystemClock, tally: Tally) -> Self {
        let active = Vec::new();
        Self(Arc::new(Inner {
            state: Mutex::new(State { active, rng }),
            held: watch::channel(false).0,
            clock,
            tally,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, trouble: Trouble) {
        // As in worlds: what strikes commands is counted by the command.
        if !matches!(trouble.kind, Kind::World(kind) if kind.strikes_commands()) {
            self.0.tally.struck(trouble.kind);
        }
        self.state().active.push(Active {
            trouble,
            has_struck: false,
            is_over: false,
        });
        self.set_held();
    }

    pub(super) fn end(&self, trouble: Trouble) {
        self.state().active.retain_mut(|active| {
            let ends = active.trouble == trouble;
            active.is_over |= ends;
            let waits = matches!(trouble.kind, Kind::World(kind) if kind.strikes_commands());
            !ends || waits && !active.has_struck
        });
        self.set_held();
    }

    pub(super) fn heal(&self) {
        self.state().active.clear();
        self.set_held();
    }

    /// What of this kind strikes now.
    fn active(&self, kind: FaultKind) -> Option<Trouble> {
        let state = self.state();
        let mut active = state.active.iter().map(|active| active.trouble);
        active.find(|trouble| trouble.kind == Kind::World(kind))
    }

    fn set_held(&self) {
        let is_held = self.active(FaultKind::HeldLink).is_some();
        self.0.held.send_replace(is_held);
    }

    /// A fault of this kind has struck.
    fn struck(&self, kind: FaultKind) {
        self.0.tally.struck(Kind::World(kind));
        let active = &mut self.state().active;
        let this = |active: &&mut Active| active.trouble.kind == Kind::World(kind);
        for active in active.iter_mut().filter(this) {
            active.has_struck = true;
        }
        active.retain(|active| !(active.is_over && active.has_struck));
    }

    /// Lets something pass, once it may.
    async fn pass(&self) {
        // The sender lives as long as this.
        let _ = self.0.held.subscribe().wait_for(|held| !*held).await;
        if let Some(spike) = self.active(FaultKind::LatencySpike) {
            self.0.clock.sleep(spike.amount).await;
        }
    }

    /// What is to happen to a command that has arrived.
    fn arrival(&self) -> Verdict {
        let state = &mut *self.state();
        for Active {
            trouble,
            has_struck,
            ..
        } in &state.active
        {
            let Kind::World(kind) = trouble.kind else {
                continue;
            };
            let percent = match kind {
                FaultKind::LateCommand | FaultKind::LateReply => LATE_PERCENT,
                _ if kind.cuts() => trouble.percent,
                _ => continue,
            };
            // The first that comes is struck for certain.
            if *has_struck && state.rng.random_range(0..100) >= percent {
                continue;
            }
            return match kind {
                FaultKind::ResetBeforeExecution => Verdict::CutBefore,
                FaultKind::ResetAfterExecution => Verdict::CutAfter,
                FaultKind::ResetMidReply => Verdict::CutMidReply,
                FaultKind::LateCommand => Verdict::LateCommand(trouble.amount),
                _ => Verdict::LateReply(trouble.amount),
            };
        }
        Verdict::Pass
    }
}

/// Accepts the connections of one replica for as long as it is polled; all of
/// them end with it.
pub(super) async fn run(listener: TcpListener, server: u16, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, server, way.clone()));
                }
                // Out of file descriptors, most likely: others go on, and may end.
                Err(_) => way.0.clock.sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What the two directions of a connection share.
struct Line {
    way: Way,
    /// What is to happen to the replies that are still to come, in order.
    due: Mutex<VecDeque<Verdict>>,
    cut: watch::Sender<bool>,
}

impl Line {
    fn due(&self) -> MutexGuard<'_, VecDeque<Verdict>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        self.cut.send_replace(true);
    }

    async fn is_cut(&self) {
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }
}

async fn serve(client: TcpStream, server: u16, way: Way) {
    // As over a network: who finds nobody there does not ask a thousand times.
    way.0.clock.sleep(CONNECTING).await;
    let Ok(server) = connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let line = Line {
        way,
        due: Mutex::default(),
        cut: watch::channel(false).0,
    };
    tokio::join!(
        commands(from_client, to_server, &line),
        replies(from_server, to_client, &line)
    );
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    // While nobody listens, a port of one's own may be drawn that is this one.
    if server.local_addr()? == server.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    server.set_nodelay(true)?;
    Ok(server)
}

/// Forwards commands. One that is late is forwarded even if its sender is gone
/// by then.
async fn commands(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, line: &Line) {
    let mut bytes = BytesMut::new();
    loop {
        while let Some(length) = frame::length(&bytes) {
            let command = bytes.split_to(length);
            line.way.pass().await;
            let verdict = line.way.arrival();
            match verdict {
                Verdict::CutBefore => {
                    line.way.struck(FaultKind::ResetBeforeExecution);
                    return line.cut();
                }
                Verdict::LateCommand(by) => {
                    line.way.struck(FaultKind::LateCommand);
                    line.way.0.clock.sleep(by).await;
                }
                _ => {}
            }
            line.due().push_back(verdict);
            if server.write_all(&command).await.is_err() {
                return line.cut();
            }
        }
        tokio::select! {
            read = client.read_buf(&mut bytes) => match read {
                Ok(1..) => {}
                // Who sent the commands is gone. What was forwarded still runs.
                _ => return,
            },
            () = line.is_cut() => return,
        }
    }
}

/// Forwards replies.
async fn replies(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, line: &Line) {
    let mut bytes = BytesMut::new();
    let mut is_listened_to = true;
    loop {
        while let Some(length) = frame::length(&bytes) {
            let reply = bytes.split_to(length);
            let verdict = line.due().pop_front().unwrap_or(Verdict::Pass);
            match verdict {
                Verdict::CutAfter => {
                    line.way.struck(FaultKind::ResetAfterExecution);
                    return line.cut();
                }
                Verdict::CutMidReply => {
                    line.way.struck(FaultKind::ResetMidReply);
                    let _ = client.write_all(&reply[..length / 2]).await;
                    return line.cut();
                }
                Verdict::LateReply(by) => {
                    line.way.struck(FaultKind::LateReply);
                    line.way.0.clock.sleep(by).await;
                }
                _ => {}
            }
            line.way.pass().await;
            // Replies that nobody hears are read all the same: were they not,
            // closing the connection would take back commands.
            is_listened_to = is_listened_to && client.write_all(&reply).await.is_ok();
        }
        tokio::select! {
            read = server.read_buf(&mut bytes) => match read {
                Ok(1..) => {}
                _ => return line.cut(),
            },
            () = line.is_cut() => return,
        }
    }
}
