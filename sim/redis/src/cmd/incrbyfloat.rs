//! INCRBYFLOAT key increment, HINCRBYFLOAT key field increment

use super::prelude::*;
use crate::extended::Extended;

pub(super) const INCRBYFLOAT: Spec =
    Spec::new("incrbyfloat", 3, WRITE | DENYOOM | FAST, run).one_key();
pub(super) const HINCRBYFLOAT: Spec =
    Spec::new("hincrbyfloat", 4, WRITE | DENYOOM | FAST, run_in_hash).one_key();

const NOT_FINITE: Reply = Reply::fail("ERR increment would produce NaN or Infinity");

/// `None` is an infinity.
fn read(word: &[u8]) -> Result<Option<Extended>, Reply> {
    Extended::parse(word).ok_or(NOT_FLOAT)
}

fn sum(before: Option<Extended>, increment: Option<Extended>) -> Result<Bytes, Reply> {
    let sum = before.zip(increment).and_then(|(a, b)| a.add(b));
    sum.map(|sum| sum.print().into()).ok_or(NOT_FINITE)
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (db, key) = (ctx.db(), &args[1]);
    let before = db.read::<Bytes>(key)?;
    let before = before.map_or(Ok(Some(Extended::ZERO)), |text| read(text))?;
    let after = sum(before, read(&args[2])?)?;
    let expires_at = db.expires_at(key);
    db.set(key, Value::Text(after.clone()), expires_at);
    Ok(Reply::Bulk(after))
}

fn run_in_hash(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let increment = read(&args[3])?;
    if increment.is_none() {
        return Err(Reply::fail("ERR value is NaN or Infinity"));
    }
    let hash = ctx.db().read::<Hash>(&args[1])?;
    let before = match hash.and_then(|hash| hash.get(&args[2])) {
        None => Some(Extended::ZERO),
        Some(text) => read(text).map_err(|_| Reply::fail("ERR hash value is not a float"))?,
    };
    let after = sum(before, increment)?;
    let hash = ctx.db().create::<Hash>(&args[1])?;
    hash.insert(keep(&args[2]), after.clone());
    ctx.db().touch(&args[1]);
    Ok(Reply::Bulk(after))
}
