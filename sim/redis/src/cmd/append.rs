//! APPEND key value

use super::prelude::*;

pub(super) const APPEND: Spec = Spec::new("append", 3, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (db, key) = (ctx.db(), &args[1]);
    let text = match db.read::<Bytes>(key)? {
        None => keep(&args[2]),
        Some(before) => Bytes::from([before.as_ref(), &args[2]].concat()),
    };
    let length = text.len();
    let expires_at = db.expires_at(key);
    db.set(key, Value::Text(text), expires_at);
    Ok(Reply::count(length))
}
