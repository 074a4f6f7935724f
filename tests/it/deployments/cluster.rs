//! Three primaries of a Redis Cluster, and a replica of the one that serves the store.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use haechi_store_redis::{
    Durability,
    redis::{Credentials, Endpoint, LockPolicy, LockTimes, VaultPrefix},
    vault::{TokenStore, View},
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;

use super::writers::{
    Names, SLOT, Writers, builder, counter, is_rollback, kept, pause, token, write,
};
use crate::{
    refusals::{granted, rules},
    support::{ask, event, raw, replicate, run},
};

struct Cluster {
    nodes: Vec<RedisServer>,
    commands: Vec<MultiplexedConnection>,
    ids: Vec<String>,
}

/// Whether a line of CLUSTER NODES has this slot.
fn serves(line: &str, slot: u16) -> bool {
    let mut ranges = line.split(' ').skip(8);
    ranges.any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        matches!((from.parse(), to.parse()), (Ok(from), Ok(to)) if (from..=to).contains(&slot))
    })
}

/// The arguments of a node; one that does not answer for so many milliseconds is replaced.
fn node_args(timeout: &str) -> [&str; 4] {
    [
        "--cluster-node-timeout",
        timeout,
        "--repl-diskless-sync-delay",
        "0",
    ]
}

impl Cluster {
    /// `timeout`: after how long a node that does not answer is replaced.
    async fn start(timeout: Duration) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            commands: Vec::new(),
            ids: Vec::new(),
        };
        let timeout = timeout.as_millis().to_string();
        for node in RedisServer::start_cluster(3, &node_args(&timeout)).unwrap() {
            cluster.add(node).await;
        }
        cluster
    }

    /// Adds a node; its number.
    async fn add(&mut self, node: RedisServer) -> usize {
        let mut commands = raw(&node).await;
        self.ids.push(ask(&mut commands, "CLUSTER MYID").await);
        self.commands.push(commands);
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    async fn until_all_say(&mut self, what: &str) {
        for commands in &mut self.commands {
            while !ask::<String>(commands, "CLUSTER INFO").await.contains(what) {
                pause().await;
            }
        }
    }

    /// Adds a replica of a node, with all its data.
    async fn add_replica(&mut self, primary: usize, timeout: Duration) -> usize {
        let timeout = timeout.as_millis().to_string();
        let node = RedisServer::start_cluster_node(&node_args(&timeout)).unwrap();
        self.nodes[0].meet(&node).unwrap();
        let replica = self.add(node).await;
        self.until_all_say("cluster_known_nodes:4").await;
        let replicate = format!("CLUSTER REPLICATE {}", self.ids[primary]);
        run(&mut self.commands[replica], &replicate).await;
        self.replicates(replica).await;
        // The primary counts it only once it has acknowledged.
        let commands = &mut self.commands[primary];
        while !ask::<String>(commands, "INFO replication")
            .await
            .contains("state=online")
        {
            pause().await;
        }
        // Those who have not heard of it would not vote for it.
        let is_known = format!("slave {}", self.ids[primary]);
        for commands in &mut self.commands {
            while !ask::<String>(commands, "CLUSTER NODES")
                .await
                .contains(&is_known)
            {
                pause().await;
            }
        }
        replica
    }

    /// Waits until a node has all data of its primary.
    async fn replicates(&mut self, replica: usize) {
        let commands = &mut self.commands[replica];
        while !ask::<String>(commands, "INFO replication")
            .await
            .contains("master_link_status:up")
        {
            pause().await;
        }
    }

    /// Waits until a replica has become the primary.
    async fn is_promoted(&mut self, replica: usize) {
        let commands = &mut self.commands[replica];
        while !ask::<String>(commands, "INFO replication")
            .await
            .contains("role:master")
        {
            pause().await;
        }
    }

    /// The number of the store's slot.
    async fn slot(&mut self) -> u16 {
        ask(&mut self.commands[0], &format!("CLUSTER KEYSLOT {SLOT}")).await
    }

    /// Three writers, each of which is told of another node only.
    async fn writers(&self, durability: Durability) -> Writers {
        Writers::start((0..3).map(|seed| self.endpoint(seed)), durability).await
    }

    fn endpoint(&self, seed: usize) -> Endpoint {
        let url = format!("redis+cluster://127.0.0.1:{}", self.nodes[seed].port());
        url.parse().unwrap()
    }

    /// The node that serves a slot, once all nodes say the same of it and of their epochs:
    /// one that has not heard of the highest would be overruled when it gets the slot.
    async fn owner(&mut self, slot: u16) -> usize {
        loop {
            let mut views = BTreeSet::new();
            for commands in &mut self.commands {
                let nodes: String = ask(commands, "CLUSTER NODES").await;
                let view = nodes.lines().map(|line| {
                    let mut words = line.split(' ').map(str::to_owned);
                    (words.next(), words.nth(5), serves(line, slot))
                });
                views.insert(view.collect::<BTreeSet<_>>());
            }
            let view = views.pop_first().unwrap();
            let owner = view.into_iter().find(|(_, _, serves)| *serves);
            if let (Some((Some(owner), _, _)), true) = (owner, views.is_empty()) {
                return self.ids.iter().position(|id| *id == owner).unwrap();
            }
            pause().await;
        }
    }

    /// Moves a slot with all its keys to the next node, key by key.
    async fn migrate(&mut self, slot: u16) {
        let (from, to) = self.begin_migration(slot).await;
        self.move_keys(slot, (from, to)).await;
        self.end_migration(slot, to).await;
    }

    /// Tells all nodes that a slot has moved.
    async fn end_migration(&mut self, slot: u16, to: usize) {
        let node = format!("CLUSTER SETSLOT {slot} NODE {}", self.ids[to]);
        // The new node first, as redis-cli does.
        let others = (0..self.nodes.len()).filter(|number| *number != to);
        for number in [to].into_iter().chain(others) {
            run(&mut self.commands[number], &node).await;
        }
    }

    /// Tells the node of a slot, and the next node, that it moves from one to the other.
    async fn begin_migration(&mut self, slot: u16) -> (usize, usize) {
        let from = self.owner(slot).await;
        let to = (from + 1) % self.nodes.len();
        let (from_id, to_id) = (self.ids[from].clone(), self.ids[to].clone());
        let importing = format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}");
        run(&mut self.commands[to], &importing).await;
        let migrating = format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}");
        run(&mut self.commands[from], &migrating).await;
        (from, to)
    }

    /// Moves the keys of a slot that moves.
    async fn move_keys(&mut self, slot: u16, (from, to): (usize, usize)) {
        loop {
            let get = format!("CLUSTER GETKEYSINSLOT {slot} 1");
            let keys: Vec<String> = ask(&mut self.commands[from], &get).await;
            let Some(key) = keys.first() else {
                break;
            };
            let port = self.nodes[to].port();
            let migrate = format!("MIGRATE 127.0.0.1 {port} {key} 0 5000");
            run(&mut self.commands[from], &migrate).await;
        }
    }
}

/// Longer than the pauses of a busy machine.
const LATE: Duration = Duration::from_secs(15);

/// Would catch a node that does not serve the keys being used, an append that is sent
/// twice because of MOVED, and one that is lost while its slot moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_a_slot_moves() {
    let mut cluster = Cluster::start(LATE).await;
    let slot = cluster.slot().await;
    let writers = cluster.writers(Durability::Memory).await;
    // Thrice around.
    for _ in 0..9 {
        cluster.migrate(slot).await;
        writers.go_on(220).await;
    }
    let (appends, mutations) = writers.lose_nothing(&cluster.endpoint(0)).await;
    println!("{appends} appends and {mutations} mutations");
    assert!(appends >= 1980 && mutations >= 1980);
}

/// Would catch a script that declares a key which may be absent: it gets TRYAGAIN for as
/// long as a slot moves, which can take hours if it is left half-way. And permissions that
/// are enough only while it does not move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_for_long_is_served() {
    let mut cluster = Cluster::start(LATE).await;
    let slot = cluster.slot().await;
    let [chain, vault, _] = rules();
    let granted: Vec<&str> = granted(chain).chain(granted(vault)).collect();
    let granted = granted.join(" +");
    for commands in &mut cluster.commands {
        let user = format!("ACL SETUSER app on >pass ~{SLOT}* +{granted} +asking");
        run(commands, &user).await;
    }
    let endpoint = cluster.endpoint(0).credentials(|| Credentials {
        username: Some("app".to_owned()),
        password: Some("pass".to_owned()),
    });
    let builder = || {
        let always = LockPolicy::Always(LockTimes::default());
        builder().lock(always).deadline(Duration::from_secs(3))
    };
    let serves = async |name: usize| {
        // One that starts now, as well as it goes on.
        let sink = builder().open_audit(endpoint.clone()).await.unwrap();
        sink.record(event(&name.to_string())).await.unwrap();
        let tokens = builder().token_store(builder().vault_store(endpoint.clone()));
        let reads = [token(name), counter()];
        tokens.transaction(reads, write(name)).await.unwrap();
        let store = builder().vault_store(endpoint.clone());
        assert!(store.ready().await.is_ready());
    };
    serves(0).await;
    let nodes = cluster.begin_migration(slot).await;
    serves(1).await;
    cluster.move_keys(slot, nodes).await;
    serves(2).await;
    assert_eq!(kept(&endpoint).await.tokens, [0, 1, 2].into());
}

/// What docs/deployment.md warns of: whose keys are absent cannot be written while its slot
/// moves. Would catch one that stays so afterwards, or that is told as written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_absent_keys_waits_until_its_slot_has_moved() {
    let mut cluster = Cluster::start(LATE).await;
    let slot = cluster.slot().await;
    let endpoint = cluster.endpoint(0);
    let begins = || builder().deadline(Duration::from_secs(1));
    // An empty chain, a vault that has no token any more, and one that the npm package began.
    let sink = begins().open_audit(endpoint.clone()).await.unwrap();
    let prefixes = ["emptied", "npm"].map(|name| VaultPrefix::new(format!("{SLOT}:{name}:")));
    let [emptied, npm] = prefixes.map(|prefix| {
        let begins = begins().vault_prefix(prefix);
        begins.token_store(begins.vault_store(endpoint.clone()))
    });
    let reads = [token(0), counter()];
    emptied.transaction(reads.clone(), write(0)).await.unwrap();
    let empty = |view: &mut View| {
        for name in [token(0), counter()] {
            view.delete(&name);
        }
    };
    emptied.transaction(reads.clone(), empty).await.unwrap();
    let owner = cluster.owner(slot).await;
    for command in [
        format!("HSET {SLOT}:npm:tokens other {{}}"),
        format!("SET {SLOT}:npm:version 1"),
    ] {
        run(&mut cluster.commands[owner], &command).await;
    }
    let write_all = async || {
        let mutations = [&emptied, &npm].map(async |vault| {
            let done = vault.transaction(reads.clone(), write(0)).await;
            done.map(drop).map_err(|error| error.to_string())
        });
        let [emptied, npm] = mutations;
        let append = async {
            let done = sink.record(event("0")).await;
            done.map(drop).map_err(|error| error.to_string())
        };
        [append.await, emptied.await, npm.await]
    };
    let (from, to) = cluster.begin_migration(slot).await;
    for refused in write_all().await {
        let waits = refused
            .as_ref()
            .is_err_and(|why| why.starts_with("not applied") && why.contains("TRYAGAIN"));
        assert!(waits, "{refused:?}");
    }
    cluster.move_keys(slot, (from, to)).await;
    cluster.end_migration(slot, to).await;
    for done in write_all().await {
        done.unwrap();
    }
}

/// Would catch an append or a mutation that ends, or is sent twice, because its node
/// became a replica while it ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_by_a_coordinated_failover() {
    let mut cluster = Cluster::start(LATE).await;
    let slot = cluster.slot().await;
    let mut primary = cluster.owner(slot).await;
    let mut replica = cluster.add_replica(primary, LATE).await;
    let writers = cluster.writers(Durability::Memory).await;
    // There and back: the nodes vote for a second replica of one primary only later.
    for _ in 0..2 {
        writers.go_on(20).await;
        run(&mut cluster.commands[replica], "CLUSTER FAILOVER").await;
        cluster.is_promoted(replica).await;
        (primary, replica) = (replica, primary);
        cluster.replicates(replica).await;
        assert_eq!(cluster.owner(slot).await, primary);
        writers.go_on(20).await;
    }
    writers.lose_nothing(&cluster.endpoint(0)).await;
}

/// After which time a node that was killed is replaced.
const SOON: Duration = Duration::from_secs(2);

/// Would catch a store that stays without the node that was promoted, one that repeats
/// what the old one had applied, and durability that is told of what is lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_survives_kill_9_of_the_node() {
    let mut cluster = Cluster::start(SOON).await;
    let slot = cluster.slot().await;
    let primary = cluster.owner(slot).await;
    let replica = cluster.add_replica(primary, SOON).await;
    let replicated = Durability::Replicas(NonZeroU32::MIN);
    let writers = cluster.writers(replicated).await;
    writers.go_on(30).await;
    cluster.nodes[primary].kill().unwrap();
    cluster.is_promoted(replica).await;
    // It comes back as a replica; without one nothing is so durable.
    cluster.nodes[primary].restart().unwrap();
    writers.go_on(30).await;
    writers
        .lose_nothing_durable(&cluster.endpoint(replica), 30)
        .await;
}

/// Would catch a process that goes on as if nothing was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kill_9_of_the_node_loses_is_told() {
    let mut cluster = Cluster::start(SOON).await;
    let slot = cluster.slot().await;
    let primary = cluster.owner(slot).await;
    let replica = cluster.add_replica(primary, SOON).await;
    let endpoint = cluster.endpoint((primary + 1) % 3);
    let open = async || {
        let tokens = builder().token_store(builder().vault_store(endpoint.clone()));
        (
            builder().open_audit(endpoint.clone()).await.unwrap(),
            tokens,
        )
    };
    let (sink, tokens) = open().await;
    let change = async |tokens: &TokenStore<_>, name| {
        let reads = [token(name), counter()];
        tokens.transaction(reads, write(name)).await
    };
    sink.record(event("0")).await.unwrap();
    change(&tokens, 0).await.unwrap();
    replicate(&mut cluster.commands[primary], &format!("{SLOT}replicated")).await;
    // More than the connection to the replica holds, so that nothing after it is sent.
    cluster.nodes[replica].stop().unwrap();
    let filler = format!("SET {SLOT}filler {}", "x".repeat(64 << 20));
    run(&mut cluster.commands[primary], &filler).await;
    sink.record(event("1")).await.unwrap();
    change(&tokens, 1).await.unwrap();
    cluster.nodes[primary].kill().unwrap();
    cluster.nodes[replica].resume().unwrap();

    // What was sent to the node that was killed is unknown; all that follow are refused.
    for name in 2..4 {
        let lost = sink.record(event(&name.to_string())).await;
        assert!(lost.as_ref().is_err_and(is_rollback), "{lost:?}");
        let lost = change(&tokens, name).await.map(drop);
        assert!(lost.as_ref().is_err_and(is_rollback), "{lost:?}");
    }
    // One that has seen nothing of it goes on.
    let (sink, tokens) = open().await;
    sink.record(event("4")).await.unwrap();
    change(&tokens, 4).await.unwrap();
    let expected = Names {
        events: [0, 4].into(),
        tokens: [0, 4].into(),
    };
    assert_eq!(kept(&endpoint).await, expected);
}
