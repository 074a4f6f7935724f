//! HSCAN key cursor [MATCH pattern] [COUNT count]: a large hash in pages, any other in one reply.

use super::prelude::*;
use super::scan::{Options, cursor, page};

pub(super) const HSCAN: Spec = Spec::new("hscan", -3, READONLY, run).one_key();

/// The defaults of `hash-max-listpack-entries` and `hash-max-listpack-value`.
const SMALL: (usize, usize) = (512, 64);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let cursor = cursor(&args[2])?;
    let hash = ctx.db().read::<Hash>(&args[1])?;
    // redis-server reads the options only if the key exists.
    let Some(hash) = hash else {
        return Ok(page(0, Vec::new()));
    };
    let options = Options::read(&args[3..], false)?;
    let is_small = hash.len() <= SMALL.0
        && hash
            .iter()
            .all(|(field, value)| field.len().max(value.len()) <= SMALL.1);
    // From the last field to the first, and a cursor is how many are left: what is deleted moves
    // only fields that were returned to places below the cursor, and new ones come above it.
    let end = match usize::try_from(cursor) {
        Ok(left) if left > 0 && !is_small => left.min(hash.len()),
        _ => hash.len(),
    };
    let start = match is_small {
        true => 0,
        false => end.saturating_sub(options.count),
    };
    let pairs = (start..end).filter_map(|place| hash.get_index(place));
    let items = pairs
        .filter(|(field, _)| options.matches(field))
        .flat_map(|(field, value)| [field, value]);
    Ok(page(start, items.cloned().map(Reply::Bulk).collect()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use crate::{Command, Config, Redis, Reply};

    fn run(redis: &mut Redis, line: &str) -> Reply {
        let command = Command::new(line.split(' ').map(|word| word.as_bytes().to_vec())).unwrap();
        let mut session = redis.connect().unwrap();
        redis.execute(&mut session, &command)
    }

    fn scan(redis: &mut Redis, cursor: &Bytes, count: usize) -> (Bytes, Vec<Bytes>) {
        let cursor = String::from_utf8_lossy(cursor);
        let reply = run(redis, &format!("HSCAN h {cursor} COUNT {count}"));
        let Reply::Array(parts) = reply else {
            panic!("{reply:?}")
        };
        let [Reply::Bulk(next), Reply::Array(items)] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        let fields = items.iter().step_by(2).map(|item| match item {
            Reply::Bulk(field) => field.clone(),
            other => panic!("{other:?}"),
        });
        (next.clone(), fields.collect())
    }

    /// Catches a scan that misses a field which is there from its first page to its last, while
    /// others are deleted and set; and one of a small hash in pages.
    #[test]
    fn a_field_that_stays_is_in_a_page() {
        for (fields, pages) in [(100, 1), (600, 60)] {
            let mut redis = Redis::new(Config::default());
            for field in 0..fields {
                run(&mut redis, &format!("HSET h f{field} v"));
            }
            let (mut cursor, mut seen, mut count) = (Bytes::from_static(b"0"), BTreeSet::new(), 0);
            loop {
                let (next, page) = scan(&mut redis, &cursor, 10);
                seen.extend(page);
                // Odd ones go, of the whole hash.
                for place in 0..3 {
                    let odd = (count * 74 + place * 22 + 1) % fields;
                    run(&mut redis, &format!("HDEL h f{odd}"));
                    run(&mut redis, &format!("HSET h new{count}.{place} v"));
                }
                (cursor, count) = (next, count + 1);
                if cursor == "0" {
                    break;
                }
            }
            assert_eq!(count, pages);
            for field in (0..fields).step_by(2) {
                assert!(seen.contains(format!("f{field}").as_bytes()), "f{field}");
            }
        }
    }
}
