//! The link between one replica and redis-server: a TCP proxy that delays
//! commands and replies, replaces replies by errors, cuts connections before a
//! command runs, after it, or in the middle of its reply, and leads to a replica
//! of redis-server for a while.

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

/// Percentage of commands that are late, or replied an error, during the fault.
const STRUCK_PERCENT: u64 = 40;

/// The duration of connecting.
const CONNECTING: Duration = Duration::from_millis(2);

/// The active faults on the connections of one replica.
#[derive(Clone)]
pub(super) struct ProxyLink(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Whether nothing passes in either direction.
    paused: watch::Sender<bool>,
    /// The port of a replica of the server.
    lagging: u16,
    leads_to: watch::Sender<Lead>,
    clock: SystemClock,
    tally: Tally,
}

/// Where a link leads.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lead {
    /// The port; 0 for nowhere.
    port: u16,
    /// How often it was cut: of what came before, nothing is forwarded.
    cuts: u64,
}

/// Whether a link is closed while data is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Nothing passes, and connections stay.
    Held,
    /// It leads nowhere.
    Cut,
}

struct State {
    active: Vec<Active>,
    /// The port of the server.
    primary: u16,
    gate: Gate,
    /// How many connections there were.
    connected: u64,
    /// The last node that was replaced, and its last connection.
    replaced: Option<(Fault, u64)>,
    rng: ChaCha8Rng,
}

/// An active fault.
#[derive(Clone, Copy)]
struct Active {
    fault: Fault,
    /// Whether it has struck a command.
    has_struck: bool,
    /// Whether its time is over: it ends after the first command that it can
    /// strike.
    is_over: bool,
}

/// The outcome for one command.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Pass,
    CutBefore,
    CutAfter,
    CutMidReply,
    ErrorReply(&'static str),
    Refused(&'static str),
    LateCommand(Duration),
    LateReply(Duration),
    SlowReply(Fault),
}

impl ProxyLink {
    /// A link to the server at the port `primary`, with a replica at `lagging`.
    pub(super) fn new(
        rng: ChaCha8Rng,
        primary: u16,
        lagging: u16,
        clock: SystemClock,
        tally: Tally,
    ) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                active: Vec::new(),
                primary,
                gate: Gate::Open,
                connected: 0,
                replaced: None,
                rng,
            }),
            paused: watch::channel(false).0,
            lagging,
            leads_to: watch::channel(Lead {
                port: primary,
                cuts: 0,
            })
            .0,
            clock,
            tally,
        }))
    }

    pub(super) fn begin(&self, fault: Fault) {
        if fault.kind == LinkFault::NodeReplaced.into() {
            let state = &mut *self.0.state.lock();
            state.replaced = Some((fault, state.connected));
            return;
        }
        // As in worlds, faults of commands are counted per command.
        if !fault.kind.strikes_commands() {
            self.0.tally.struck(fault.kind);
        }
        self.0.state.lock().active.push(Active {
            fault,
            has_struck: false,
            is_over: false,
        });
        self.update();
    }

    pub(super) fn end(&self, fault: Fault) {
        self.0.state.lock().active.retain_mut(|active| {
            let ends = active.fault == fault;
            active.is_over |= ends;
            let waits = fault.kind.strikes_commands();
            !ends || waits && !active.has_struck
        });
        self.update();
    }

    pub(super) fn heal(&self) {
        self.0.state.lock().active.clear();
        self.update();
    }

    /// An active fault of this kind.
    fn active(&self, kind: LinkFault) -> Option<Fault> {
        let state = self.0.state.lock();
        let mut active = state.active.iter().map(|active| active.fault);
        active.find(|fault| fault.kind == kind.into())
    }

    /// From now on nothing passes, until it is opened.
    pub(super) fn hold(&self) {
        self.0.state.lock().gate = Gate::Held;
        self.update();
    }

    /// Cuts all connections; what was under way on them does not arrive any more. It leads
    /// nowhere until it is opened.
    pub(super) fn cut(&self) {
        self.0.state.lock().gate = Gate::Cut;
        self.0.leads_to.send_modify(|lead| lead.cuts += 1);
        self.update();
    }

    /// Leads to the server at this port.
    pub(super) fn open(&self, primary: u16) {
        let state = &mut *self.0.state.lock();
        (state.primary, state.gate) = (primary, Gate::Open);
        self.update_by(state);
    }

    /// Carries out the active faults of the link.
    fn update(&self) {
        self.update_by(&self.0.state.lock());
    }

    fn update_by(&self, state: &State) {
        let is_active = |kind: LinkFault| {
            let mut active = state.active.iter();
            active.any(|active| active.fault.kind == kind.into())
        };
        let is_paused = is_active(LinkFault::HeldLink) || state.gate == Gate::Held;
        self.0.paused.send_replace(is_paused);
        let port = match state.gate {
            Gate::Cut => 0,
            _ if is_active(LinkFault::LaggingReplica) => self.0.lagging,
            _ => state.primary,
        };
        self.0.leads_to.send_modify(|lead| lead.port = port);
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

    /// Waits while the link is held, and for its latency.
    async fn pass(&self) {
        // The sender is in `self`, so this does not fail.
        let _ = self.0.paused.subscribe().wait_for(|paused| !*paused).await;
        if let Some(spike) = self.active(LinkFault::LatencySpike) {
            let delay = Duration::from_millis(spike.amount.unsigned_abs());
            self.0.clock.sleep(delay).await;
        }
    }

    /// Draws the outcome for a command that has arrived on a connection.
    fn arrival(&self, connection: u64, command: &[u8]) -> Verdict {
        let state = &mut *self.0.state.lock();
        let is_script = command.windows(7).any(|word| word == b"EVALSHA");
        if let Some((fault, last)) = &state.replaced
            && connection <= *last
            && let Some(refusal) = fault.refusal(is_script)
        {
            return Verdict::Refused(refusal);
        }
        for active in &state.active {
            let FaultKind::CommandFault(kind) = active.fault.kind else {
                continue;
            };
            let amount = active.fault.amount.unsigned_abs();
            let percent = match kind {
                CommandFault::LateCommand
                | CommandFault::LateReply
                | CommandFault::ErrorAfterExecution => STRUCK_PERCENT,
                CommandFault::LimitedBandwidth => 100,
                CommandFault::ResetBeforeExecution
                | CommandFault::ResetAfterExecution
                | CommandFault::ResetMidReply => amount,
            };
            // The first command is always struck.
            if active.has_struck && state.rng.random_range(0..100) >= percent {
                continue;
            }
            return match kind {
                CommandFault::ResetBeforeExecution => Verdict::CutBefore,
                CommandFault::ResetAfterExecution => Verdict::CutAfter,
                CommandFault::ResetMidReply => Verdict::CutMidReply,
                CommandFault::ErrorAfterExecution => Verdict::ErrorReply(active.fault.error()),
                CommandFault::LateCommand => Verdict::LateCommand(Duration::from_millis(amount)),
                CommandFault::LateReply => Verdict::LateReply(Duration::from_millis(amount)),
                CommandFault::LimitedBandwidth => Verdict::SlowReply(active.fault),
            };
        }
        Verdict::Pass
    }
}

/// Accepts the connections of one replica; dropping the future closes them.
pub(super) async fn run(listener: TcpListener, link: ProxyLink) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, link.clone()));
                }
                // Probably out of file descriptors: open connections go on.
                Err(_) => link.0.clock.sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// State shared by the two directions of a connection.
struct Connection {
    link: ProxyLink,
    /// Counted from 1.
    number: u64,
    /// Where it leads.
    lead: Lead,
    /// The outcomes for the pending replies, in order.
    due: Mutex<VecDeque<Verdict>>,
    cut: watch::Sender<bool>,
}

impl Connection {
    fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Waits until it is cut, or the link leads elsewhere.
    async fn is_cut(&self) {
        let (mut cut, mut leads_to) = (self.cut.subscribe(), self.link.0.leads_to.subscribe());
        tokio::select! {
            _ = cut.wait_for(|cut| *cut) => {}
            _ = leads_to.wait_for(|lead| *lead != self.lead) => {}
        }
    }

    /// Whether nothing of it is forwarded any more.
    fn is_over(&self) -> bool {
        self.link.0.leads_to.borrow().cuts != self.lead.cuts
    }
}

async fn serve(client: TcpStream, link: ProxyLink) {
    // As over a network, a refused connection takes time.
    link.0.clock.sleep(CONNECTING).await;
    let lead = *link.0.leads_to.borrow();
    let Ok(server) = connect(lead.port).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let number = {
        let state = &mut *link.0.state.lock();
        state.connected += 1;
        state.connected
    };
    let connection = Connection {
        link,
        number,
        lead,
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
    // Linux can connect a socket to itself while the port has no listener.
    if server.local_addr()? == server.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    server.set_nodelay(true)?;
    Ok(server)
}

/// Forwards commands. A late one is forwarded even if its sender has gone.
async fn commands(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, connection: &Connection) {
    let mut bytes = BytesMut::new();
    loop {
        while let Some(length) = frame::length(&bytes) {
            let mut command = bytes.split_to(length);
            connection.link.pass().await;
            let verdict = connection.link.arrival(connection.number, &command);
            match verdict {
                Verdict::CutBefore => {
                    connection.link.struck(CommandFault::ResetBeforeExecution);
                    return connection.cut();
                }
                Verdict::LateCommand(by) => {
                    connection.link.struck(CommandFault::LateCommand);
                    connection.link.0.clock.sleep(by).await;
                }
                // The error takes the place of a reply, after those before it.
                Verdict::Refused(_) => command = BytesMut::from(&b"*1\r\n$4\r\nPING\r\n"[..]),
                _ => {}
            }
            if connection.is_over() {
                return connection.cut();
            }
            connection.due.lock().push_back(verdict);
            if server.write_all(&command).await.is_err() {
                return connection.cut();
            }
        }
        tokio::select! {
            read = client.read_buf(&mut bytes) => match read {
                Ok(1..) => {}
                // The sender has closed the connection. Forwarded commands
                // still run.
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
            let mut reply = bytes.split_to(length);
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
                Verdict::ErrorReply(error) => {
                    connection.link.struck(CommandFault::ErrorAfterExecution);
                    reply = BytesMut::from(format!("-{error}\r\n").as_bytes());
                }
                Verdict::Refused(error) => {
                    connection
                        .link
                        .0
                        .tally
                        .struck(LinkFault::NodeReplaced.into());
                    reply = BytesMut::from(format!("-{error}\r\n").as_bytes());
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
            if connection.is_over() {
                return;
            }
            // Replies are read even after the client has gone: closing a socket
            // with unread data would reset it and discard forwarded commands.
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
