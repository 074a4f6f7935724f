//! Fills the vault of a world before it begins: as version 1, without receipts and index, as
//! a replica of the reference's protocol would leave it.

use futures::FutureExt;
use haechi_store_redis::{
    clock::{Clock, iso8601},
    crypto::{Aad, Counting, CryptoProvider, LocalKeys, manage},
    redis::{VaultKeys, VaultPrefix},
};
use serde_json::{json, value::RawValue};
use std::{sync::Arc, time::Duration};

use super::{
    clock::{PauseGate, SimClock},
    handle::WorldHandle,
};
use crate::{
    plan::VaultKnobs,
    record::{PLAINTEXT, Values, bare_record, listed, unused},
    workload::{Host, LOADED_TOKENS, loaded_token, plaintext_hash},
};

/// Tokens that are past their end whatever the clocks say: at most so many, and one in so many
/// of all.
const EXPIRED: usize = 300;
const EXPIRED_ONE_IN: usize = 20;
const PAST: &str = "2001-02-01T00:00:00.000Z";

/// Fills the vault of a world, if its knobs say so.
pub(super) fn load(world: &WorldHandle, knobs: &VaultKnobs) {
    if knobs.loaded == 0 {
        return;
    }
    let (mut tokens, plaintexts) = revealable(world, knobs);
    tokens.extend((0..knobs.tokens).map(|number| {
        // For sweeps, some are past their end.
        let end = if number % 2 == 0 {
            PAST
        } else {
            "2026-01-01T00:00:00.000Z"
        };
        let value = format!(r#"{{"expiresAt":"{end}","by":"loader.{number}","count":1}}"#);
        (format!("t{number}"), Some(value))
    }));
    tokens.extend(
        (0..(knobs.loaded / EXPIRED_ONE_IN).min(EXPIRED)).map(|number| {
            let name = format!("tok_due_{number:032x}");
            (name, Some(bare_record("due", PAST)))
        }),
    );
    let rest = (tokens.len()..knobs.loaded).map(|number| {
        let (name, record) = unused(number);
        (name, Some(record))
    });
    tokens.extend(rest.collect::<Values>());

    let keys = VaultKeys::new(VaultPrefix::default());
    for some in tokens.chunks(1000) {
        let pairs = some.iter().flat_map(|(token, value)| {
            [
                token.as_bytes(),
                value.as_deref().unwrap_or_default().as_bytes(),
            ]
        });
        let command: Vec<&[u8]> = [b"HSET", keys.tokens.as_bytes()]
            .into_iter()
            .chain(pairs)
            .collect();
        world.run(&command);
    }
    world.run(&[b"SET", keys.version.as_bytes(), b"1"]);
    let named = tokens
        .iter()
        .map(|(token, value)| (token.as_str(), value.as_ref()));
    world.loaded(listed(named), plaintexts);
}

/// Tokens that every process knows, and what stands in for their plaintexts.
fn revealable(world: &WorldHandle, knobs: &VaultKnobs) -> (Values, Values) {
    let (storage, _) = world.keys(0);
    let entropy = world.entropy("loader");
    let clock = SimClock::new(PauseGate::default(), Arc::default());
    // In memory, all is ready at once.
    let _ = manage::init(&storage, &clock, &entropy).now_or_never();
    let opened = LocalKeys::open(storage, clock.clone(), entropy, Counting::Persisted);
    let Some(Ok(provider)) = opened.now_or_never() else {
        return Default::default();
    };
    let end = clock.wall() + Duration::from_secs_f64(knobs.retention * 86_400.0);
    let (mut tokens, mut plaintexts) = (Values::new(), Values::new());
    for number in 0..LOADED_TOKENS {
        let (token, plaintext) = (loaded_token(number), format!("{PLAINTEXT}loaded-{number}"));
        let aad = json!({
            "purpose": "token-vault", "token": token, "type": "note", "context": {},
            "expiresAt": iso8601(end),
        });
        let sealed = Aad::from_json(aad.to_string()).ok().and_then(|bound| {
            let envelope = provider.encrypt(plaintext.as_bytes(), &bound, Some(end));
            RawValue::from_string(envelope.now_or_never()?.ok()?.to_json()).ok()
        });
        let record = json!({
            "type": "note", "createdAt": iso8601(clock.wall()), "expiresAt": iso8601(end),
            "metadata": {}, "envelope": sealed, "aad": aad,
        });
        tokens.push((token.clone(), Some(record.to_string())));
        plaintexts.push((token, Some(plaintext_hash(&plaintext))));
    }
    (tokens, plaintexts)
}
