//! SETRANGE key offset value: what is missing before the offset becomes zero bytes.

use super::prelude::*;

pub(super) const SETRANGE: Spec = Spec::new("setrange", 4, WRITE | DENYOOM, run).one_key();

/// The default of `proto-max-bulk-len`.
const MAX: usize = 512 * 1024 * 1024;

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let offset = usize::try_from(integer(&args[2])?)
        .map_err(|_| Reply::fail("ERR offset is out of range"))?;
    let (db, key, value) = (ctx.db(), &args[1], &args[3]);
    let before = db.read::<Bytes>(key)?.cloned().unwrap_or_default();
    if value.is_empty() {
        return Ok(Reply::count(before.len()));
    }
    let end = offset.saturating_add(value.len());
    if end > MAX {
        return Err(Reply::fail(
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ));
    }
    let mut text = before.to_vec();
    text.resize(text.len().max(end), 0);
    text[offset..end].copy_from_slice(value);
    let (length, expires_at) = (text.len(), db.expires_at(key));
    db.set(key, Value::Text(text.into()), expires_at);
    Ok(Reply::count(length))
}
