//! Events and identities for the models.

use haechi_store_redis::chain::{AppendId, Event};

pub(crate) fn event() -> Result<Event, String> {
    Event::from_json(r#"{"id":"e"}"#).map_err(|error| error.to_string())
}

pub(crate) fn append_id(number: u8) -> AppendId {
    AppendId::from_bytes([number; 16])
}
