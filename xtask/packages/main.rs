//! What `cargo xtask packages` builds in an empty project: each of the four packages does
//! something that its user wants of it.

use std::error::Error;

use haechi_sim::{mutants::Variant, plan::WorldOptions, world};
use haechi_store_redis::{
    Builder,
    audit::Pages,
    chain::{Event, Verifier},
    redis::Endpoint,
};
use redis_sim::{Config, tcp::TcpServer};

const HISTORY: &str = r#"{"time":0,"process":"r0","op":1,"type":"invoke","f":"append","value":{"id":"e1"}}
{"time":9,"process":"r0","op":1,"type":"ok","value":{"sequence":1,"eventHash":"h1"}}
{"type":"final","chain":[{"op":1,"sequence":1,"previousHash":null,"eventHash":"h1"}]}
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TcpServer::start(Config::wall_clock())?;
    println!("redis-sim: a server on port {}", server.port());

    let endpoint: Endpoint = format!("redis://127.0.0.1:{}", server.port()).parse()?;
    let sink = Builder::new().open_audit(endpoint.clone()).await?;
    for id in ["e1", "e2"] {
        let event = Event::from_json(&format!(r#"{{"id":"{id}","operation":"protect"}}"#))?;
        sink.record(event).await?;
    }
    let store = Builder::new().audit_store(endpoint);
    let (mut pages, tail) = Pages::open(&store).await?;
    let mut verifier = Verifier::new();
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            verifier.line(&record);
        }
    }
    let verdict = verifier.finish();
    assert!(verdict.is_valid() && verdict.head == tail.head, "{verdict:?}");
    println!("haechi-store-redis: 2 events appended; {verdict:?}");

    let history = haechi_history::read(HISTORY.as_bytes())?;
    let violations = haechi_history::check::check(&history)?.violations;
    assert!(violations.is_empty(), "{violations:?}");
    println!("haechi-history: a history without a violation");

    let world = || {
        let (options, capture) = (WorldOptions::default(), world::Capture::default());
        world::run(42, &options, Variant::default(), capture)
    };
    // A world has runtimes of its own, and needs a thread without one.
    let (first, again) = std::thread::spawn(move || (world(), world()))
        .join()
        .map_err(|_| "the world panicked")?;
    assert!(first.run.is_ok(), "{:?}", first.run.violations);
    assert_eq!(first.trace_hash, again.trace_hash);
    println!(
        "haechi-sim: world 42 is without a violation, and has the trace {:016x} twice",
        first.trace_hash
    );
    Ok(())
}
