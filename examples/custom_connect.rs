//! A `Connect` of one's own: the URL of Redis is read from a file at each dial, as a service
//! discovery or a mounted secret would give it. Whoever moves Redis changes the file; nothing
//! is restarted.
//!
//! ```console
//! $ echo redis://127.0.0.1:6379 > redis.url
//! $ cargo run --example custom_connect redis.url
//! ```

use std::{error::Error, path::PathBuf};

use haechi_store_redis::{
    Builder,
    chain::Event,
    redis::{Connect, Endpoint, client::RedisResult},
};

#[derive(Clone)]
pub(crate) struct UrlInFile {
    path: PathBuf,
    /// A key of the store: in a cluster, the node that has it is connected to.
    key: Option<String>,
}

impl UrlInFile {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        let (path, key) = (path.into(), None);
        Self { path, key }
    }
}

impl Connect for UrlInFile {
    /// Of what the client crate has, any connection will do that is multiplexed.
    type Connection = <Endpoint as Connect>::Connection;

    fn serving(self, key: &str) -> Self {
        let key = Some(key.to_owned());
        Self { key, ..self }
    }

    /// The store limits the time, and dials again after any failure.
    async fn connect(&self) -> RedisResult<Self::Connection> {
        // Short enough for a thread of the runtime.
        let url = std::fs::read_to_string(&self.path)?;
        let endpoint: Endpoint = url.trim().parse()?;
        match &self.key {
            Some(key) => endpoint.serving(key).connect().await,
            None => endpoint.connect().await,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("give the file's path")?;
    let sink = Builder::new().open_audit(UrlInFile::new(path)).await?;
    let event = Event::from_json(r#"{"operation":"example"}"#)?;
    println!("{}", sink.record(event).await?.position.sequence);
    Ok(())
}
