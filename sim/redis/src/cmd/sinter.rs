//! SINTER key [key ...], SUNION key [key ...], SDIFF key [key ...], and SINTERSTORE destination key [key ...] and its
//! like

use super::prelude::*;

pub(super) const SINTER: Spec = Spec::new("sinter", -2, READONLY, |ctx, args| {
    members(&combined(ctx, &args[1..], both)?)
})
.all_keys(1);
pub(super) const SUNION: Spec = Spec::new("sunion", -2, READONLY, |ctx, args| {
    members(&combined(ctx, &args[1..], either)?)
})
.all_keys(1);
pub(super) const SDIFF: Spec = Spec::new("sdiff", -2, READONLY, |ctx, args| {
    members(&combined(ctx, &args[1..], first)?)
})
.all_keys(1);
pub(super) const SINTERSTORE: Spec = Spec::new("sinterstore", -3, WRITE | DENYOOM, |ctx, args| {
    store(ctx, args, both)
})
.all_keys(1);
pub(super) const SUNIONSTORE: Spec = Spec::new("sunionstore", -3, WRITE | DENYOOM, |ctx, args| {
    store(ctx, args, either)
})
.all_keys(1);
pub(super) const SDIFFSTORE: Spec = Spec::new("sdiffstore", -3, WRITE | DENYOOM, |ctx, args| {
    store(ctx, args, first)
})
.all_keys(1);

/// What of two sets is in the result.
type Combine = fn(&Set, &Set) -> Vec<Bytes>;

fn both(all: &Set, other: &Set) -> Vec<Bytes> {
    all.iter().filter(|member| other.contains(member)).collect()
}

fn either(all: &Set, other: &Set) -> Vec<Bytes> {
    all.iter().chain(other.iter()).collect()
}

fn first(all: &Set, other: &Set) -> Vec<Bytes> {
    let is_not_in = |member: &Bytes| !other.contains(member);
    all.iter().filter(is_not_in).collect()
}

fn combined(ctx: &mut Ctx<'_>, keys: &[Bytes], combine: Combine) -> Result<Set, Reply> {
    let mut result: Option<Set> = None;
    for key in keys {
        let set = ctx.db().read::<Set>(key)?.cloned().unwrap_or_default();
        result = Some(match result {
            None => set,
            Some(before) => {
                let mut combined = Set::default();
                for member in combine(&before, &set) {
                    combined.insert(&member);
                }
                combined
            }
        });
    }
    Ok(result.unwrap_or_default())
}

fn members(set: &Set) -> Outcome {
    Ok(Reply::Set(set.iter().map(Reply::Bulk).collect()))
}

fn store(ctx: &mut Ctx<'_>, args: &[Bytes], combine: Combine) -> Outcome {
    let set = combined(ctx, &args[2..], combine)?;
    let size = set.len();
    match size {
        0 => {
            ctx.db().remove(&args[1]);
        }
        _ => ctx.db().set(&args[1], Value::Set(set), None),
    }
    Ok(Reply::count(size))
}
