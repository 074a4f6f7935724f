//! SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]

use super::expire::{Unit, invalid};
use super::prelude::*;

pub(super) const SET: Spec = Spec::new("set", -3, WRITE | DENYOOM, run).one_key();

#[derive(Default)]
struct Options {
    nx: bool,
    xx: bool,
    get: bool,
    keep_ttl: bool,
    expiry: Option<(Unit, Bytes)>,
}

impl Options {
    fn read(mut words: &[Bytes]) -> Result<Options, Reply> {
        let mut options = Options::default();
        while let [option, rest @ ..] = words {
            words = rest;
            let free = !options.keep_ttl && options.expiry.is_none();
            let unit = match option {
                word if is(word, "ex") => Some(Unit::After(1000)),
                word if is(word, "px") => Some(Unit::After(1)),
                word if is(word, "exat") => Some(Unit::At(1000)),
                word if is(word, "pxat") => Some(Unit::At(1)),
                _ => None,
            };
            match (unit, words) {
                (Some(unit), [time, rest @ ..]) if free => {
                    options.expiry = Some((unit, time.clone()));
                    words = rest;
                }
                (None, _) if is(option, "nx") && !options.xx => options.nx = true,
                (None, _) if is(option, "xx") && !options.nx => options.xx = true,
                (None, _) if is(option, "get") => options.get = true,
                (None, _) if is(option, "keepttl") && options.expiry.is_none() => {
                    options.keep_ttl = true;
                }
                _ => return Err(SYNTAX),
            }
        }
        Ok(options)
    }
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let options = Options::read(&args[3..])?;
    let (db, key) = (ctx.db(), &args[1]);
    let mut expires_at = match &options.expiry {
        None => None,
        Some((unit, time)) => {
            let time = integer(time)?;
            let moment = unit
                .moment(time, db.now())
                .and_then(|moment| u64::try_from(moment).ok());
            Some(
                moment
                    .filter(|_| time > 0)
                    .ok_or_else(|| invalid(&args[0]))?,
            )
        }
    };
    let before = if options.get {
        Some(Reply::optional(db.read::<Bytes>(key)?))
    } else {
        None
    };
    if (options.nx || options.xx) && db.exists(key) == options.nx {
        return Ok(before.unwrap_or(Reply::Nil));
    }
    if options.keep_ttl && db.exists(key) {
        expires_at = db.expires_at(key);
    }
    db.set(key, Value::Text(keep(&args[2])), expires_at);
    Ok(before.unwrap_or(Reply::OK))
}
