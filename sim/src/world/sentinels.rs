//! Three Sentinels: what each says, and which processes must have heard that a primary
//! was deposed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use redis_sim::{
    Command, Config, Redis, Reply,
    server::{Before, ConnId, Gate},
};

use super::{
    handle::WorldHandle,
    net::{DATA_HOSTS, GROUP, REDIS_PORT, SENTINEL_HOSTS, SENTINEL_PORT},
};
use crate::{
    plan::{LEADER, TICK_MS},
    record::replica_name,
};

/// Which node is the primary, and how many failovers there were.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Says {
    epoch: u64,
    node: usize,
}

/// What the Sentinels know. Times are in milliseconds.
#[derive(Default)]
pub(super) struct Sentinels {
    says: [Says; SENTINEL_HOSTS.len()],
    /// What they have not heard yet, and when they will.
    news: Vec<(u64, usize, Says)>,
    last: Says,
    /// The one that leads the last failover, until all have heard of it.
    leader: usize,
    deposed: Option<Deposed>,
    /// How many faults keep each of them from running, and since when it runs or does not.
    killed: [(u64, u64); SENTINEL_HOSTS.len()],
    /// The one that was killed as the leader.
    killed_leader: usize,
    /// Links of processes to hosts: how many faults disturb each, and since when the last
    /// one is over.
    disturbed: BTreeMap<(usize, &'static str), (u64, u64)>,
}

/// A primary that takes writes, though another one is named.
struct Deposed {
    node: usize,
    at: u64,
    /// Since when each Sentinel names the other.
    since: [Option<u64>; SENTINEL_HOSTS.len()],
    /// The processes that have certainly been told of the other, and since when.
    told: BTreeMap<usize, u64>,
}

impl Sentinels {
    /// `node` is promoted at this time; each Sentinel hears of it at its own.
    pub(super) fn promoted(&mut self, node: usize, at: u64, heard: [u64; SENTINEL_HOSTS.len()]) {
        self.last = Says {
            epoch: self.last.epoch + 1,
            node,
        };
        let first = (0..heard.len()).min_by_key(|sentinel| heard[*sentinel]);
        self.leader = first.unwrap_or(0);
        let news = heard.into_iter().enumerate();
        self.news
            .extend(news.map(|(sentinel, at)| (at, sentinel, self.last)));
        self.deposed = Some(Deposed {
            node: 1 - node,
            at,
            since: Default::default(),
            told: BTreeMap::new(),
        });
    }

    /// Sentinels hear what they are to hear by now.
    pub(super) fn step(&mut self, now: u64) {
        // The others hear it from the one that leads.
        let leader = self.leader;
        let is_told = self.killed[leader].0 == 0;
        let due = self.news.extract_if(.., |(at, sentinel, _)| {
            *at <= now && (is_told || *sentinel == leader)
        });
        for (_, sentinel, says) in due {
            self.says[sentinel] = says;
            if let Some(deposed) = self.deposed.as_mut().filter(|_| says == self.last) {
                deposed.since[sentinel] = Some(now);
            }
        }
    }

    /// The deposed primary is demoted, of which all have heard.
    pub(super) fn demoted(&mut self) {
        self.news.clear();
        self.says = [self.last; SENTINEL_HOSTS.len()];
        self.deposed = None;
    }

    /// Those that a fault strikes: a bit for each, or the leader.
    fn struck(&mut self, which: i64) -> impl Iterator<Item = &mut (u64, u64)> {
        let which = match which {
            LEADER => 1 << self.killed_leader,
            which => which,
        };
        let all = self.killed.iter_mut().enumerate();
        all.filter_map(move |(place, sentinel)| (which >> place & 1 == 1).then_some(sentinel))
    }

    /// Since when a Sentinel runs.
    fn runs_since(&self, sentinel: usize) -> Option<u64> {
        let (faults, since) = self.killed[sentinel];
        (faults == 0).then_some(since)
    }

    /// A fault disturbs the link of a process to a host.
    pub(super) fn disturb(&mut self, process: usize, host: &'static str) {
        self.disturbed.entry((process, host)).or_default().0 += 1;
    }

    /// It is over.
    pub(super) fn calm(&mut self, process: usize, host: &'static str, now: u64) {
        let (count, since) = self.disturbed.entry((process, host)).or_default();
        *count = count.saturating_sub(1);
        *since = now;
    }

    /// Since when the link of a process to a host is as good as any.
    fn undisturbed_since(&self, process: usize, host: &'static str) -> Option<u64> {
        match self.disturbed.get(&(process, host)) {
            None => Some(0),
            Some((0, since)) => Some(*since),
            Some(_) => None,
        }
    }

    /// Since when a process could hear from some Sentinel that this node is deposed, or has
    /// had to stop because none that could say anything else has answered for `stop_after`.
    fn deposed_since(&self, process: usize, node: usize, stop_after: Option<u64>) -> Option<u64> {
        let deposed = self
            .deposed
            .as_ref()
            .filter(|deposed| deposed.node == node)?;
        let named = (0..SENTINEL_HOSTS.len()).zip(deposed.since);
        let heard = named.filter_map(|(sentinel, since)| {
            let linked = self.undisturbed_since(process, SENTINEL_HOSTS[sentinel])?;
            Some(since?.max(linked).max(self.runs_since(sentinel)?))
        });
        let all_know = deposed.since.into_iter().collect::<Option<Vec<u64>>>();
        let all_know = all_know.and_then(|since| since.into_iter().max());
        let none_runs = self.killed.iter().all(|(faults, _)| *faults > 0);
        let all_gone = self.killed.iter().map(|(_, since)| *since).max();
        let all_gone = all_gone.filter(|_| none_runs).map(|at| at.max(deposed.at));
        let silent = all_know.into_iter().chain(all_gone).min();
        let silent = silent.and_then(|since| Some(since + stop_after?));
        let told = deposed.told.get(&process).copied();
        let heard = heard.chain(silent).chain(told);
        let data = self.undisturbed_since(process, DATA_HOSTS[node])?;
        Some(heard.min()?.max(data))
    }
}

impl WorldHandle {
    /// Why this command of a process must not have been sent to this node: it writes, and
    /// the process had time to hear that the node is deposed. It asks a Sentinel again
    /// after `every`, a second time if its first connection is broken, and finishes a dial
    /// that it had begun.
    pub(super) fn deposed_write(&self, process: usize, node: usize, command: &Command) {
        let writes = ["EVALSHA", "EVAL", "SET"];
        if !writes.iter().any(|name| command.is(name)) {
            return;
        }
        let stop_after = self.stop_after();
        let since = self.nodes(|nodes| nodes.sentinels.deposed_since(process, node, stop_after));
        let Some(since) = since else { return };
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        let late = now.saturating_sub(since);
        if Duration::from_millis(late) > self.time_to_hear() {
            let (name, host) = (replica_name(process), DATA_HOSTS[node]);
            self.wrote_to_deposed(format!(
                "{name} wrote to {host} {late} ms after it could hear that this is deposed"
            ));
        }
    }

    /// These Sentinels, a bit for each, are killed, or the one that leads the last failover.
    pub(super) fn kill_sentinels(&self, which: i64) {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.nodes(|nodes| {
            let sentinels = &mut nodes.sentinels;
            if which == LEADER {
                sentinels.killed_leader = sentinels.leader;
            }
            for (faults, since) in sentinels.struck(which) {
                if *faults == 0 {
                    *since = now;
                }
                *faults += 1;
            }
        });
    }

    /// The fault that killed them is over.
    pub(super) fn start_sentinels(&self, which: i64) {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.nodes(|nodes| {
            for (faults, since) in nodes.sentinels.struck(which) {
                *faults = faults.saturating_sub(1);
                *since = now;
            }
        });
    }

    /// A process has certainly been told this.
    fn told(&self, process: usize, says: Says) {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.nodes(|nodes| {
            let last = nodes.sentinels.last;
            if let Some(deposed) = nodes.sentinels.deposed.as_mut().filter(|_| says == last) {
                deposed.told.entry(process).or_insert(now);
            }
        });
    }

    fn runs(&self, sentinel: usize) -> bool {
        self.nodes(|nodes| nodes.sentinels.runs_since(sentinel).is_some())
    }

    /// A process stops, or goes on: what it should hear meanwhile, it does not.
    pub(super) fn disturb_all(&self, process: usize, disturbs: bool) {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.nodes(|nodes| {
            // It may begin anew.
            if let Some(deposed) = &mut nodes.sentinels.deposed {
                deposed.told.remove(&process);
            }
            for host in DATA_HOSTS.into_iter().chain(SENTINEL_HOSTS) {
                match disturbs {
                    true => nodes.sentinels.disturb(process, host),
                    false => nodes.sentinels.calm(process, host, now),
                }
            }
        });
    }

    /// What a Sentinel answers.
    fn sentinel_says(&self, sentinel: usize, command: &Command) -> Option<Reply> {
        if !command.is("SENTINEL") {
            return None;
        }
        let (says, leads) = self.nodes(|nodes| {
            let sentinels = &nodes.sentinels;
            let says = sentinels.says[sentinel];
            let has_promoted = sentinels.leader == sentinel && says == sentinels.last;
            (says, has_promoted && !sentinels.news.is_empty())
        });
        let subcommand = command.words().get(1)?;
        if asks_for_address(subcommand) {
            let address = [DATA_HOSTS[says.node].to_owned(), REDIS_PORT.to_string()];
            return Some(Reply::Array(address.map(Reply::text).to_vec()));
        }
        // Until its failover is over, the old one's address is beside the new one's epoch.
        let node = if leads { 1 - says.node } else { says.node };
        let fields = [
            ("name", GROUP.to_owned()),
            ("ip", DATA_HOSTS[node].to_owned()),
            ("port", REDIS_PORT.to_string()),
            ("config-epoch", says.epoch.to_string()),
        ];
        let fields = fields.iter().flat_map(|(name, value)| [*name, value]);
        Some(Reply::Array(fields.map(Reply::text).collect()))
    }
}

fn asks_for_address(subcommand: &[u8]) -> bool {
    subcommand.eq_ignore_ascii_case(b"GET-MASTER-ADDR-BY-NAME")
}

/// The longest that a process takes to hear of a failover.
pub(super) fn time_to_hear(knobs: &crate::plan::Knobs) -> Duration {
    let times = knobs.sentinel_times();
    let slack = 4 * knobs.latency.1 + 8 * TICK_MS;
    2 * (times.every + times.answer) + Duration::from_millis(knobs.timeouts.0 + slack)
}

/// Answers for one Sentinel, for as long as the world lasts.
pub(super) async fn run(world: WorldHandle, sentinel: usize) -> turmoil::Result {
    let hosts: Vec<IpAddr> = world.client_hosts().map(turmoil::lookup).collect();
    let redis = Arc::new(Mutex::new(Redis::new(Config::default())));
    let admit = |peer: SocketAddr| {
        let process = hosts.iter().position(|host| *host == peer.ip())?;
        if !world.runs(sentinel) {
            return None;
        }
        let gate = SentinelGate {
            world: world.clone(),
            sentinel,
            process,
            said: None,
        };
        Some((redis.clone(), Arc::new(Mutex::new(gate))))
    };
    redis_sim::turmoil::serve(SENTINEL_PORT, admit).await?;
    Ok(())
}

/// One connection.
struct SentinelGate {
    world: WorldHandle,
    sentinel: usize,
    process: usize,
    /// What it answered last: whoever asks again has received it.
    said: Option<Says>,
}

impl Gate for SentinelGate {
    fn before(&mut self, _: ConnId, _: &Command) -> Before {
        match self.world.runs(self.sentinel) {
            true => Before::Run,
            false => Before::Cut,
        }
    }

    fn instead(&mut self, _: ConnId, command: &Command) -> Option<Reply> {
        let reply = self.world.sentinel_says(self.sentinel, command)?;
        let (host, process) = (SENTINEL_HOSTS[self.sentinel], self.process);
        let words = command.words();
        // The epoch is told before, in an answer of its own.
        if words.get(1).is_some_and(|word| asks_for_address(word)) {
            let says = self
                .world
                .nodes(|nodes| nodes.sentinels.says[self.sentinel]);
            if let Some(said) = self.said.replace(says) {
                self.world.told(process, said);
            }
            self.world.trace(|| {
                let (node, epoch) = (DATA_HOSTS[says.node], says.epoch);
                format!("{host}: r{process} is told {node} of epoch {epoch}")
            });
        }
        Some(reply)
    }
}
