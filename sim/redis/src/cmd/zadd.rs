//! ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]

use super::prelude::*;
use crate::number;
use crate::value::Score;

pub(super) const ZADD: Spec = Spec::new("zadd", -4, WRITE | DENYOOM | FAST, run).one_key();

#[derive(Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    changed: bool,
    increment: bool,
}

impl Options {
    fn read(words: &[Bytes]) -> Result<(Options, &[Bytes]), Reply> {
        let mut options = Options::default();
        let mut pairs = words;
        while let [word, rest @ ..] = pairs {
            match word {
                word if is(word, "nx") => options.nx = true,
                word if is(word, "xx") => options.xx = true,
                word if is(word, "gt") => options.gt = true,
                word if is(word, "lt") => options.lt = true,
                word if is(word, "ch") => options.changed = true,
                word if is(word, "incr") => options.increment = true,
                _ => break,
            }
            pairs = rest;
        }
        if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
            return Err(SYNTAX);
        }
        if options.nx && options.xx {
            return Err(Reply::fail(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (options.gt && (options.nx || options.lt)) || (options.lt && options.nx) {
            return Err(Reply::fail(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if options.increment && pairs.len() > 2 {
            return Err(Reply::fail(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok((options, pairs))
    }

    /// Whether a member may change from one score to another.
    fn allow(&self, before: Option<f64>, after: f64) -> bool {
        match before {
            None => !self.xx,
            Some(_) if self.nx => false,
            Some(before) => !(self.gt && after <= before || self.lt && after >= before),
        }
    }
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (options, pairs) = Options::read(&args[2..])?;
    // All scores are read before the first is set, so that an invalid one changes nothing.
    let scores: Vec<f64> = pairs
        .iter()
        .step_by(2)
        .map(|word| number::float(word).ok_or(NOT_FLOAT))
        .collect::<Result<_, _>>()?;
    if options.xx && ctx.db().read::<Sorted>(&args[1])?.is_none() {
        // The key must not be created and removed again: that would fail a WATCH.
        return Ok(if options.increment {
            Reply::Nil
        } else {
            Reply::Integer(0)
        });
    }
    let sorted = ctx.db().create::<Sorted>(&args[1])?;
    let (mut added, mut updated, mut result) = (0, 0, None);
    for (pair, given) in pairs.chunks_exact(2).zip(scores) {
        let before = sorted.score(&pair[1]);
        let after = match before {
            Some(before) if options.increment => before + given,
            _ => given,
        };
        if after.is_nan() {
            return Err(Reply::fail("ERR resulting score is not a number (NaN)"));
        }
        if !options.allow(before, after) {
            continue;
        }
        result = Some(after);
        #[allow(
            clippy::float_cmp,
            reason = "a score is unchanged when it is the same number"
        )]
        match before {
            None => added += 1,
            Some(before) if before != after => updated += 1,
            Some(_) => continue,
        }
        sorted.insert(&keep(&pair[1]), after);
    }
    if added + updated > 0 {
        ctx.db().touch(&args[1]);
    }
    Ok(match result {
        Some(score) if options.increment => Reply::Double(Score(score)),
        None if options.increment => Reply::Nil,
        _ => Reply::count(if options.changed {
            added + updated
        } else {
            added
        }),
    })
}
