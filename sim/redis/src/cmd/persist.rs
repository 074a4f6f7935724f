//! PERSIST key

use super::prelude::*;

pub(super) const PERSIST: Spec = Spec::new("persist", 2, WRITE | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (db, key) = (ctx.db(), &args[1]);
    let persisted = db.exists(key) && db.expires_at(key).is_some();
    if persisted {
        db.set_expiry(key, None);
    }
    Ok(Reply::flag(persisted))
}
