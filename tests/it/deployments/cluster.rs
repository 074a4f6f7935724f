//! Three primaries of a Redis Cluster.

use std::{collections::BTreeSet, net::TcpListener, time::Duration};

use haechi_store_redis::{
    Builder,
    redis::{AuditPrefix, Endpoint, VaultPrefix},
    vault::{Stored, TokenId, View},
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;

use crate::support::{ask, event, raw, run, verified};

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

impl Cluster {
    async fn start() -> Self {
        let bus = || {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap();
            port.port().to_string()
        };
        let start = |_| {
            let bus = bus();
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            RedisServer::start_with(&args).unwrap()
        };
        let nodes: Vec<RedisServer> = (0..3).map(start).collect();
        let mut commands = Vec::new();
        for node in &nodes {
            commands.push(raw(node).await);
        }
        for (number, slots) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
            run(
                &mut commands[number],
                &format!("CLUSTER ADDSLOTSRANGE {slots}"),
            )
            .await;
            // Distinct, as redis-cli does: an earlier owner must not overrule a later one.
            let epoch = format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1);
            run(&mut commands[number], &epoch).await;
            let config: (String, String) =
                ask(&mut commands[number], "CONFIG GET cluster-port").await;
            let meet = format!(
                "CLUSTER MEET 127.0.0.1 {} {}",
                nodes[number].port(),
                config.1
            );
            run(&mut commands[0], &meet).await;
        }
        for commands in &mut commands {
            while !ask::<String>(commands, "CLUSTER INFO")
                .await
                .contains("cluster_state:ok")
            {
                tokio::task::yield_now().await;
            }
        }
        let mut ids = Vec::new();
        for commands in &mut commands {
            ids.push(ask(commands, "CLUSTER MYID").await);
        }
        Self {
            nodes,
            commands,
            ids,
        }
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
            tokio::task::yield_now().await;
        }
    }

    /// Moves a slot with all its keys to the next node, key by key.
    async fn migrate(&mut self, slot: u16) {
        let from = self.owner(slot).await;
        let to = (from + 1) % self.nodes.len();
        let (from_id, to_id) = (self.ids[from].clone(), self.ids[to].clone());
        let importing = format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}");
        run(&mut self.commands[to], &importing).await;
        let migrating = format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}");
        run(&mut self.commands[from], &migrating).await;
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
        let node = format!("CLUSTER SETSLOT {slot} NODE {to_id}");
        // The new node first, as redis-cli does.
        let others = (0..self.nodes.len()).filter(|number| *number != to);
        for number in [to].into_iter().chain(others) {
            run(&mut self.commands[number], &node).await;
        }
    }
}

/// Would catch a node that does not serve the keys being used, an append that is sent
/// twice because of MOVED, and one that is lost while its slot moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_a_slot_moves() {
    let mut cluster = Cluster::start().await;
    let slot: u16 = ask(&mut cluster.commands[0], "CLUSTER KEYSLOT {haechi}").await;
    let builder = || {
        Builder::new()
            .audit_prefix(AuditPrefix::new("{haechi}:audit:"))
            .vault_prefix(VaultPrefix::new("{haechi}:tv:"))
            .deadline(Duration::from_secs(20))
    };
    // From each node as the only one that is known.
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..3 {
        let endpoint = cluster.endpoint(writer);
        let sink = builder().open_audit(endpoint.clone()).await.unwrap();
        let tokens = builder().token_store(builder().vault_store(endpoint));
        writers.spawn(async move {
            let mut done = 0;
            for number in 0..200 {
                sink.record(event(&format!("{writer} {number}")))
                    .await
                    .unwrap();
                let token = TokenId::new(&format!("tok_email_{:032x}", writer * 1000 + number));
                let token = token.unwrap();
                let write = |view: &mut View| view.set(&token, Stored::from(b"{}".to_vec()));
                tokens.transaction([token.clone()], write).await.unwrap();
                done += 1;
            }
            done
        });
    }
    // Thrice around.
    for _ in 0..9 {
        cluster.migrate(slot).await;
        tokio::task::yield_now().await;
    }
    while let Some(done) = writers.join_next().await {
        assert_eq!(done.unwrap(), 200);
    }
    let endpoint = cluster.endpoint(0);
    let records = verified(&builder().audit_store(endpoint.clone())).await;
    assert_eq!(records.len(), 600);
    let tokens = builder().token_store(builder().vault_store(endpoint));
    assert_eq!(tokens.read(|view| view.entries().len()).await.unwrap(), 600);
}
