//! GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]

use super::prelude::*;
use super::set::Options;

pub(super) const GETEX: Spec = Spec::new("getex", -2, WRITE | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let options = Options::of_getex(&args[2..])?;
    let (db, key) = (ctx.db(), &args[1]);
    let Some(value) = db.read::<Bytes>(key)?.cloned() else {
        return Ok(Reply::Nil);
    };
    match options.expires_at(&args[0], db.now())? {
        Some(moment) if moment <= db.now() => {
            db.remove(key);
        }
        Some(moment) => db.set_expiry(key, Some(moment)),
        None if options.persist && db.expires_at(key).is_some() => db.set_expiry(key, None),
        None => {}
    }
    Ok(Reply::Bulk(value))
}
