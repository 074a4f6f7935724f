//! Replicas with the system's clock and entropy and real sockets, each on a
//! thread of its own, so that it can be paused and killed like a process.

use std::{io, pin::pin, thread, time::Duration};

use haechi_store_redis::{
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
    redis::SentinelTimes,
};
use redis::Client;
use tokio::sync::mpsc;

use crate::{
    mutants::StoreUnderTest,
    plan::{Knobs, generator},
    record::{RunRecorder, replica_name},
    workload::{self, AnchorMedia, Host, KeyFaults, SharedKeys},
};

/// The environment of real replicas.
#[derive(Clone)]
pub(super) struct RealHost {
    recorder: RunRecorder,
    shared_keys: SharedKeys,
    /// Each process's connection to Redis.
    clients: Vec<Client>,
    clock: SystemClock,
}

impl RealHost {
    /// Processes that reach Redis at these ports.
    pub(super) fn new(
        recorder: RunRecorder,
        ports: &[u16],
        clock: SystemClock,
    ) -> io::Result<Self> {
        let open = |port: &u16| Client::open(format!("redis://127.0.0.1:{port}/"));
        let clients = ports.iter().map(open).collect::<Result<_, _>>();
        Ok(Self {
            recorder,
            shared_keys: SharedKeys::default(),
            clients: clients.map_err(io::Error::other)?,
            clock,
        })
    }
}

impl Host for RealHost {
    type Clock = SystemClock;
    type Entropy = SystemEntropy;
    type Connect = Client;

    fn recorder(&self) -> &RunRecorder {
        &self.recorder
    }

    fn keys(&self, _: usize) -> (SharedKeys, KeyFaults) {
        (self.shared_keys.clone(), KeyFaults::default())
    }

    fn anchor_media(&self, process: usize) -> AnchorMedia {
        // There are no anchors.
        AnchorMedia::new(generator(0, &replica_name(process)))
    }

    fn clock(&self, _: usize) -> SystemClock {
        self.clock.clone()
    }

    fn entropy(&self, _: &str) -> SystemEntropy {
        SystemEntropy
    }

    fn connect(&self, process: usize, _: SentinelTimes) -> Client {
        self.clients[process].clone()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// A fault of a replica.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Its thread sleeps.
    Pause(Duration),
    /// It dies, and starts again so much later, without memory.
    Crash(Duration),
}

/// A replica on its thread. Dropping it ends it.
pub(super) struct Replica {
    orders: mpsc::UnboundedSender<Order>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Replica {
    pub(super) fn start(
        host: RealHost,
        knobs: Knobs,
        process: usize,
        store: StoreUnderTest,
    ) -> io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name(replica_name(process))
            .spawn(move || run_incarnations(&host, &knobs, process, &store, received))?;
        Ok(Self { orders, thread })
    }

    pub(super) fn order(&self, order: Order) {
        // A replica that has ended ignores orders.
        let _ = self.orders.send(order);
    }

    /// Ends it, and waits for its thread.
    pub(super) fn end(self) -> io::Result<()> {
        drop(self.orders);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(_) => Err(io::Error::other("a replica of the harness panicked")),
        }
    }
}

/// Runs one incarnation after the other, each on its own runtime: a crash drops
/// the store's tasks and connections.
fn run_incarnations(
    host: &RealHost,
    knobs: &Knobs,
    process: usize,
    store: &StoreUnderTest,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> io::Result<()> {
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let crashed = runtime.block_on(async {
            let (host, knobs, store) = (host.clone(), knobs.clone(), store.clone());
            let mut life = pin!(workload::run(host, knobs, process, store));
            loop {
                tokio::select! {
                    biased;
                    order = orders.recv() => match order {
                        Some(Order::Pause(lasts)) => pause_thread(lasts),
                        Some(Order::Crash(lasts)) => return Some(lasts),
                        None => return None,
                    },
                    () = &mut life => return None,
                }
            }
        });
        drop(runtime);
        let Some(lasts) = crashed else {
            return Ok(());
        };
        host.recorder.crashed(process);
        pause_thread(lasts);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "pauses the whole thread with its timers and sockets"
)]
fn pause_thread(lasts: Duration) {
    thread::sleep(lasts);
}
