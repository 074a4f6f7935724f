//! LPOS key element [RANK rank] [COUNT count] [MAXLEN length]

use super::prelude::*;

pub(super) const LPOS: Spec = Spec::new("lpos", -3, READONLY, run).one_key();

struct Options {
    rank: i64,
    count: Option<usize>,
    most: usize,
}

impl Options {
    fn read(mut words: &[Bytes]) -> Result<Options, Reply> {
        let mut options = Options {
            rank: 1,
            count: None,
            most: 0,
        };
        let positive = |word: &Bytes, text| count(word).map_err(|_| Reply::fail(text));
        while let [option, value, rest @ ..] = words {
            if is(option, "rank") {
                options.rank = rank(value)?;
            } else if is(option, "count") {
                options.count = Some(positive(value, "ERR COUNT can't be negative")?);
            } else if is(option, "maxlen") {
                options.most = positive(value, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(SYNTAX);
            }
            words = rest;
        }
        match words {
            [] => Ok(options),
            _ => Err(SYNTAX),
        }
    }
}

fn rank(word: &Bytes) -> Result<i64, Reply> {
    match integer(word)? {
        0 => Err(Reply::fail(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        )),
        // In C its negation is itself, and below any number of matches.
        i64::MIN => Ok(-1),
        rank => Ok(rank),
    }
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let options = Options::read(&args[3..])?;
    let none = match options.count {
        Some(_) => Reply::Array(Vec::new()),
        None => Reply::Nil,
    };
    let Some(list) = ctx.db().read::<List>(&args[1])? else {
        return Ok(none);
    };
    let unless_zero = |number: usize| if number == 0 { usize::MAX } else { number };
    let most = unless_zero(options.most).min(list.len());
    let matches = |place: &usize| list.get(*place).is_some_and(|element| *element == args[2]);
    let before = usize::try_from(options.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let wanted = unless_zero(options.count.unwrap_or(1));
    let places: Vec<Reply> = match options.rank > 0 {
        true => {
            let places = (0..most).filter(matches).skip(before).take(wanted);
            places.map(Reply::count).collect()
        }
        false => {
            let places = (list.len() - most..list.len()).rev().filter(matches);
            places.skip(before).take(wanted).map(Reply::count).collect()
        }
    };
    Ok(match options.count {
        Some(_) => Reply::Array(places),
        None => places.into_iter().next().unwrap_or(none),
    })
}
