//! Replicas on what production has: the system's clock and entropy, real
//! sockets, and for each a thread of its own, so that it can be paused and
//! killed like a process.
//!
//! What a replica does is the worlds' code; here is only what it runs on.

use std::{io, pin::pin, thread, time::Duration};

use haechi_store_redis::{
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
};
use redis::Client;
use tokio::sync::mpsc;

use crate::{
    mutants::StoreUnderTest,
    plan::Knobs,
    record::{RunRecorder, replica_name},
    workload::{self, Host, SharedKeys},
};

/// What real replicas have beneath them.
#[derive(Clone)]
pub(super) struct RealHost {
    recorder: RunRecorder,
    shared_keys: SharedKeys,
    /// How each process reaches Redis.
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

    fn shared_keys(&self) -> &SharedKeys {
        &self.shared_keys
    }

    fn clock(&self, _: usize) -> SystemClock {
        self.clock.clone()
    }

    fn entropy(&self, _: &str) -> SystemEntropy {
        SystemEntropy
    }

    fn connect(&self, process: usize) -> Client {
        self.clients[process].clone()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// What is done to a replica.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// It stands still.
    Pause(Duration),
    /// It dies, and starts again so much later, with no memory.
    Crash(Duration),
}

/// A replica on its thread. It ends when this is dropped.
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
            .spawn(move || live(&host, &knobs, process, &store, received))?;
        Ok(Self { orders, thread })
    }

    pub(super) fn order(&self, order: Order) {
        // One that has ended needs no orders.
        let _ = self.orders.send(order);
    }

    /// Ends it, and waits until it has.
    pub(super) fn end(self) -> io::Result<()> {
        drop(self.orders);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(_) => Err(io::Error::other("a replica of the harness panicked")),
        }
    }
}

/// One life after the other, each on a runtime of its own: a crash takes the
/// tasks that the store has spawned, and their connections.
fn live(
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
                        Some(Order::Pause(lasts)) => stand_still(lasts),
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
        stand_still(lasts);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the whole thread is to stand still, timers and sockets and all"
)]
fn stand_still(lasts: Duration) {
    thread::sleep(lasts);
}
