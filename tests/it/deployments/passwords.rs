//! A password that changes while a process runs.

use std::sync::{Arc, Mutex};

use haechi_store_redis::{
    Builder,
    redis::{Credentials, Endpoint},
};
use redis_sim::server_process::RedisServer;

use crate::support::{event, run};

/// Would catch credentials that are asked for only once.
#[tokio::test]
async fn a_password_may_change() {
    let server = RedisServer::start_with(&["--requirepass", "first"]).unwrap();
    let current = Arc::new(Mutex::new("first"));
    let asked = current.clone();
    let endpoint: Endpoint = server.url().parse().unwrap();
    let endpoint = endpoint.credentials(move || Credentials {
        username: None,
        password: Some((*asked.lock().unwrap()).to_owned()),
    });
    let sink = Builder::new().open_audit(endpoint).await.unwrap();
    sink.record(event("1")).await.unwrap();

    let url = format!("redis://:first@127.0.0.1:{}", server.port());
    let admin = redis::Client::open(url).unwrap();
    let mut commands = admin.get_multiplexed_async_connection().await.unwrap();
    run(&mut commands, "CONFIG SET requirepass second").await;
    *current.lock().unwrap() = "second";
    run(&mut commands, "CLIENT KILL TYPE normal").await;
    sink.record(event("2")).await.unwrap();
}
