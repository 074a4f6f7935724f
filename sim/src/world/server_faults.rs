//! The faults of the server itself: restarts, cuts, and its modes.

use redis_sim::Redis;

use super::{
    command_faults::CommandFaults,
    handle::{WorldHandle, lock},
};
use crate::plan::{Fault, ServerFault};

/// Redis restarts without eviction, whichever node evicted: another one may serve by now.
pub(super) fn end_eviction(world: &WorldHandle) {
    for server in world.all_servers() {
        lock(&server).configure("maxmemory-policy", "noeviction");
    }
    restart_with(world, "noeviction");
}

/// Redis restarts with this maxmemory-policy.
pub(super) fn restart_with(world: &WorldHandle, policy: &str) {
    world.with_redis(|redis| {
        // Not by CONFIG SET, which a fault may refuse.
        redis.configure("maxmemory-policy", policy);
        redis.restart();
    });
    world.command_faults(CommandFaults::cut_all);
}

/// Begins a fault of the server; returns whether it has struck already.
pub(super) fn begin_server(world: &WorldHandle, kind: ServerFault, fault: Fault) -> bool {
    if kind == ServerFault::ScriptFlush {
        // As a command, which a mode may refuse.
        world.run(&[b"SCRIPT", b"FLUSH"]);
    }
    if matches!(kind, ServerFault::RedisRestart | ServerFault::RedisKilled) {
        world.with_redis(Redis::restart);
    }
    let strikes = world.command_faults(|faults| disturb(faults, kind, fault));
    set_mode(world, kind, Some(fault));
    strikes
}

/// What a fault of a server does to its connections and commands; returns whether it has
/// struck already.
pub(crate) fn disturb(faults: &mut CommandFaults, kind: ServerFault, fault: Fault) -> bool {
    match kind {
        ServerFault::ScriptFlush => true,
        // The limit of clients does not affect open connections, so they are cut.
        ServerFault::RedisRestart
        | ServerFault::RedisKilled
        | ServerFault::ClientsKilled
        | ServerFault::MaxClients => {
            faults.cut_all();
            true
        }
        ServerFault::RedisStopped => {
            faults.stop_until(fault.at + fault.lasts);
            true
        }
        // Counted when a reply says so.
        ServerFault::Busy
        | ServerFault::Loading
        | ServerFault::Readonly
        | ServerFault::Oom
        | ServerFault::Misconf
        | ServerFault::Noperm
        | ServerFault::SlowScript
        | ServerFault::SlotMigration
        | ServerFault::SentinelsKilled
        | ServerFault::ServerClockJump => false,
    }
}

/// Switches a mode of the server: on for a fault, or off.
pub(super) fn set_mode(world: &WorldHandle, kind: ServerFault, fault: Option<Fault>) {
    // What was the primary when it began need not be it any more.
    for server in world.all_servers() {
        let is_primary = world.is_primary(&server);
        if is_primary || (fault.is_none() && kind != ServerFault::Readonly) {
            switch_mode(&mut lock(&server), kind, fault);
        }
    }
}

/// Switches a mode of one server: on for a fault, or off.
pub(crate) fn switch_mode(redis: &mut Redis, kind: ServerFault, fault: Option<Fault>) {
    let on = fault.is_some();
    let modes = redis.modes();
    match kind {
        ServerFault::Busy => modes.busy = on,
        ServerFault::Loading => modes.loading = on,
        ServerFault::Readonly => modes.readonly = on,
        ServerFault::Oom => modes.oom = on,
        ServerFault::Misconf => modes.misconf = on,
        ServerFault::MaxClients => modes.max_clients = on.then_some(0),
        ServerFault::Noperm => {
            let denied = fault.iter().flat_map(Fault::denied);
            modes.denied = denied.map(ToString::to_string).collect();
        }
        // Not modes: carried out when they begin, or per command.
        ServerFault::RedisRestart
        | ServerFault::RedisKilled
        | ServerFault::RedisStopped
        | ServerFault::ClientsKilled
        | ServerFault::ScriptFlush
        | ServerFault::SlowScript
        | ServerFault::SlotMigration
        | ServerFault::SentinelsKilled
        | ServerFault::ServerClockJump => {}
    }
}
