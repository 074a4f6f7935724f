//! SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]

use super::expire::{Unit, invalid};
use super::prelude::*;

pub(super) const SET: Spec = Spec::new("set", -3, WRITE | DENYOOM, run).one_key();

#[derive(Default)]
pub(super) struct Options {
    nx: bool,
    xx: bool,
    get: bool,
    keep_ttl: bool,
    /// Only of GETEX.
    pub(super) persist: bool,
    expiry: Option<(Unit, Bytes)>,
}

impl Options {
    /// Those of GETEX, which are about the expiry.
    pub(super) fn of_getex(words: &[Bytes]) -> Result<Options, Reply> {
        Options::read(words, true)
    }

    fn read(mut words: &[Bytes], of_getex: bool) -> Result<Options, Reply> {
        let mut options = Options::default();
        while let [option, rest @ ..] = words {
            words = rest;
            let unit = match option {
                word if is(word, "ex") => Some(Unit::After(1000)),
                word if is(word, "px") => Some(Unit::After(1)),
                word if is(word, "exat") => Some(Unit::At(1000)),
                word if is(word, "pxat") => Some(Unit::At(1)),
                _ => None,
            };
            // The same option may be given again, and counts as it is given last.
            let free = !options.keep_ttl
                && !options.persist
                && options
                    .expiry
                    .as_ref()
                    .is_none_or(|(other, _)| Some(*other) == unit);
            match (unit, words) {
                (Some(unit), [time, rest @ ..]) if free => {
                    options.expiry = Some((unit, time.clone()));
                    words = rest;
                }
                (None, _) if of_getex => {
                    if !is(option, "persist") || options.expiry.is_some() {
                        return Err(SYNTAX);
                    }
                    options.persist = true;
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

    /// When the key is to expire; the command's name is for the error.
    pub(super) fn expires_at(&self, name: &[u8], now: u64) -> Result<Option<u64>, Reply> {
        let Some((unit, time)) = &self.expiry else {
            return Ok(None);
        };
        let time = integer(time)?;
        let moment = unit
            .moment(time, now)
            .and_then(|moment| u64::try_from(moment).ok())
            .filter(|_| time > 0);
        moment.map(Some).ok_or_else(|| invalid(name))
    }
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let options = Options::read(&args[3..], false)?;
    let (db, key) = (ctx.db(), &args[1]);
    let mut expires_at = options.expires_at(&args[0], db.now())?;
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
