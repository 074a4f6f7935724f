//! INFO [section ...]: server, clients, memory, persistence, replication, cluster and keyspace.

use super::prelude::*;
use crate::state::State;
use std::fmt::Write;

pub(super) const INFO: Spec = Spec::new("info", -1, LOADING | STALE, run);

pub(crate) const VERSION: &str = "7.0.15";

type Section = (&'static str, fn(&State) -> String);

const SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", |state| {
        format!("connected_clients:{}\r\n", state.connections)
    }),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Replication", replication),
    ("Cluster", |_| "cluster_enabled:0\r\n".to_owned()),
    ("Keyspace", keyspace),
];

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    ctx.db().expire_all();
    let wanted = |title: &str| {
        let all = ["default", "all", "everything"];
        args.len() == 1
            || args[1..]
                .iter()
                .any(|word| is(word, title) || all.iter().any(|name| is(word, name)))
    };
    let shown = SECTIONS.iter().filter(|(title, _)| wanted(title));
    let sections: Vec<String> = shown
        .map(|(title, body)| format!("# {title}\r\n{}", body(ctx.state)))
        .collect();
    Ok(Reply::Verbatim(*b"txt", sections.join("\r\n").into()))
}

fn server(state: &State) -> String {
    let uptime = state.micros.saturating_sub(state.started_micros) / 1_000_000;
    format!(
        "redis_version:{VERSION}\r\nredis_mode:standalone\r\narch_bits:64\r\nprocess_id:1\r\nrun_id:{}\r\n\
         server_time_usec:{}\r\nuptime_in_seconds:{uptime}\r\n",
        state.run_id, state.micros
    )
}

fn memory(state: &State) -> String {
    format!(
        "maxmemory:{}\r\nmaxmemory_policy:{}\r\n",
        state.setting("maxmemory"),
        state.setting("maxmemory-policy")
    )
}

fn persistence(state: &State) -> String {
    let saved = if state.modes.misconf { "err" } else { "ok" };
    format!(
        "loading:{}\r\nasync_loading:0\r\nrdb_last_bgsave_status:{saved}\r\naof_enabled:{}\r\n\
         aof_last_write_status:ok\r\n",
        u8::from(state.modes.loading),
        u8::from(state.setting("appendonly") == "yes")
    )
}

fn replication(state: &State) -> String {
    let role = if state.modes.readonly {
        "slave"
    } else {
        "master"
    };
    let mut text = format!("role:{role}\r\n");
    if state.modes.readonly {
        // As `Redis::configure` has set it; without, it is not known.
        if let Some((host, port)) = state.setting("replicaof").split_once(' ') {
            let _ = write!(text, "master_host:{host}\r\nmaster_port:{port}\r\n");
        }
        text.push_str("master_link_status:up\r\nslave_read_only:1\r\n");
    }
    // Writing to a `String` does not fail.
    let _ = write!(text, "connected_slaves:{}\r\n", state.replicas.len());
    for (number, replica) in state.replicas.iter().enumerate() {
        let _ = write!(
            text,
            "slave{number}:ip=127.0.0.1,port={},state=online,offset={},lag=0\r\n",
            6380 + number,
            replica.acknowledged()
        );
    }
    let _ = write!(
        text,
        "master_replid:{}\r\nmaster_repl_offset:{}\r\n",
        state.run_id,
        state.keyspace.changes()
    );
    text
}

fn keyspace(state: &State) -> String {
    let mut lines: Vec<_> = state
        .databases()
        .map(|(db, keyspace)| {
            let keys = keyspace.len();
            let expires = keyspace
                .iter()
                .filter(|(key, _)| keyspace.expires_at(key).is_some())
                .count();
            (
                db,
                format!("db{db}:keys={keys},expires={expires},avg_ttl=0\r\n"),
            )
        })
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}
