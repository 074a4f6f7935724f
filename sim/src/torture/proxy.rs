//! The link between one replica and redis-server: a TCP proxy that delays
//! commands and replies, and cuts connections before a command runs, after it,
//! or in the middle of its reply.
//!
//! It must not know what a command means, or who decides what strikes.

use std::{collections::VecDeque, io, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::BytesMut;
use haechi_store_redis::clock::{Clock, SystemClock};
use parking_lot::Mutex;
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

use super::{frame, plan::Tally};
use crate::plan::{CommandFault, Fault, FaultKind, LinkFault};

/// Of a hundred commands, how many are late while some are.
const LATE_PERCENT: u64 = 40;

/// How long a connection takes.
const CONNECTING: Duration = Duration::from_millis(2);

/// What strikes the connections of one replica at this moment.
#[derive(Clone)]
pub(super) struct ProxyLink(Arc<Inner>);

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
    fault: Fault,
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
    SlowReply(Fault),
}

impl ProxyLink {
    pub(super) fn new(rng: ChaCha8Rng, clock: SystemClock, tally: Tally) -> Self {
        let active = Vec::new();
        Self(Arc::new(Inner {
            state: Mutex::new(State { active, rng }),
            held: watch::channel(false).0,
            clock,
            tally,
        }))
    }

    pub(super) fn begin(&self, fault: Fault) {
        // As in worlds: what strikes commands is counted by the command.
        if !fault.kind.strikes_commands() {
            self.0.tally.struck(fault.kind);
        }
        self.0.state.lock().active.push(Active {
            fault,
            has_struck: false,
            is_over: false,
        });
        self.set_held();
    }

    pub(super) fn end(&self, fault: Fault) {
        self.0.state.lock().active.retain_mut(|active| {
            let ends = active.fault == fault;
            active.is_over |= ends;
            let waits = fault.kind.strikes_commands();
            !ends || waits && !active.has_struck
        });
        self.set_held();
    }

    pub(super) fn heal(&self) {
        self.0.state.lock().active.clear();
        self.set_held();
    }

    /// What of this kind strikes now.
    fn active(&self, kind: LinkFault) -> Option<Fault> {
        let state = self.0.state.lock();
        let mut active = state.active.iter().map(|active| active.fault);
        active.find(|fault| fault.kind == kind.into())
    }

    fn set_held(&self) {
        let is_held = self.active(LinkFault::HeldLink).is_some();
        self.0.held.send_replace(is_held);
    }

    /// A fault of this kind has struck.
    fn struck(&self, kind: CommandFault) {
        let kind = FaultKind::from(kind);
        self.0.tally.struck(kind);
        let active = &mut self.0.state.lock().active;
        for active in active.iter_mut().filter(|active| active.fault.kind == kind) {
            active.has_struck = true;
        }
        active.retain(|active| !(active.is_over && active.has_struck));
    }

    /// Lets something pass, once it may.
    async fn pass(&self) {
        // The sender lives as long as this.
        let _ = self.0.held.subscribe().wait_for(|held| !*held).await;
        if let Some(spike) = self.active(LinkFault::LatencySpike) {
            let delay = Duration::from_millis(spike.amount.unsigned_abs());
            self.0.clock.sleep(delay).await;
        }
    }

    /// What is to happen to a command that has arrived.
    fn arrival(&self) -> Verdict {
        let state = &mut *self.0.state.lock();
        for active in &state.active {
            let FaultKind::CommandFault(kind) = active.fault.kind else {
                continue;
            };
            let amount = active.fault.amount.unsigned_abs();
            let percent = match kind {
                CommandFault::LateCommand | CommandFault::LateReply => LATE_PERCENT,
                CommandFault::LimitedBandwidth => 100,
                CommandFault::ResetBeforeExecution
                | CommandFault::ResetAfterExecution
                | CommandFault::ResetMidReply => amount,
            };
            // The first that comes is struck for certain.
            if active.has_struck && state.rng.random_range(0..100) >= percent {
                continue;
            }
            return match kind {
                CommandFault::ResetBeforeExecution => Verdict::CutBefore,
                CommandFault::ResetAfterExecution => Verdict::CutAfter,
                CommandFault::ResetMidReply => Verdict::CutMidReply,
                CommandFault::LateCommand => Verdict::LateCommand(Duration::from_millis(amount)),
                CommandFault::LateReply => Verdict::LateReply(Duration::from_millis(amount)),
                CommandFault::LimitedBandwidth => Verdict::SlowReply(active.fault),
            };
        }
        Verdict::Pass
    }
}

/// Accepts the connections of one replica for as long as it is polled; all of
/// them end with it.
pub(super) async fn run(listener: TcpListener, server: u16, link: ProxyLink) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, server, link.clone()));
                }
                // Out of file descriptors, most likely: others go on, and may end.
                Err(_) => link.0.clock.sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What the two directions of a connection share.
struct Connection {
    link: ProxyLink,
    /// What is to happen to the replies that are still to come, in order.
    due: Mutex<VecDeque<Verdict>>,
    cut: watch::Sender<bool>,
}

impl Connection {
    fn cut(&self) {
        self.cut.send_replace(true);
    }

    async fn is_cut(&self) {
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }
}

async fn serve(client: TcpStream, server: u16, link: ProxyLink) {
    // As over a network: a refused connection takes time.
    link.0.clock.sleep(CONNECTING).await;
    let Ok(server) = connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let connection = Connection {
        link,
        due: Mutex::default(),
        cut: watch::channel(false).0,
    };
    tokio::join!(
        commands(from_client, to_server, &connection),
        replies(from_server, to_client, &connection)
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
async fn commands(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, connection: &Connection) {
    let mut bytes = BytesMut::new();
    loop {
        while let Some(length) = frame::length(&bytes) {
            let command = bytes.split_to(length);
            connection.link.pass().await;
            let verdict = connection.link.arrival();
            match verdict {
                Verdict::CutBefore => {
                    connection.link.struck(CommandFault::ResetBeforeExecution);
                    return connection.cut();
                }
                Verdict::LateCommand(by) => {
                    connection.link.struck(CommandFault::LateCommand);
                    connection.link.0.clock.sleep(by).await;
                }
                _ => {}
            }
            connection.due.lock().push_back(verdict);
            if server.write_all(&command).await.is_err() {
                return connection.cut();
            }
        }
        tokio::select! {
            read = client.read_buf(&mut bytes) => match read {
                Ok(1..) => {}
                // Who sent the commands is gone. What was forwarded still runs.
                _ => return,
            },
            () = connection.is_cut() => return,
        }
    }
}

/// Forwards replies.
async fn replies(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, connection: &Connection) {
    let mut bytes = BytesMut::new();
    let mut is_listened_to = true;
    loop {
        while let Some(length) = frame::length(&bytes) {
            let reply = bytes.split_to(length);
            let verdict = connection.due.lock().pop_front().unwrap_or(Verdict::Pass);
            match verdict {
                Verdict::CutAfter => {
                    connection.link.struck(CommandFault::ResetAfterExecution);
                    return connection.cut();
                }
                Verdict::CutMidReply => {
                    connection.link.struck(CommandFault::ResetMidReply);
                    let _ = client.write_all(&reply[..length / 2]).await;
                    return connection.cut();
                }
                Verdict::LateReply(by) => {
                    connection.link.struck(CommandFault::LateReply);
                    connection.link.0.clock.sleep(by).await;
                }
                Verdict::SlowReply(fault) => {
                    connection.link.struck(CommandFault::LimitedBandwidth);
                    let time = fault.transfer_time(length);
                    connection.link.0.clock.sleep(time).await;
                }
                _ => {}
            }
            connection.link.pass().await;
            // Replies that nobody hears are read all the same: were they not,
            // closing the connection would take back commands.
            is_listened_to = is_listened_to && client.write_all(&reply).await.is_ok();
        }
        tokio::select! {
            read = server.read_buf(&mut bytes) => match read {
                Ok(1..) => {}
                _ => return connection.cut(),
            },
            () = connection.is_cut() => return,
        }
    }
}
