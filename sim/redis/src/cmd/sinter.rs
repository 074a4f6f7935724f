//! SINTER key [key ...], SUNION key [key ...], SDIFF key [key ...]

use super::prelude::*;

pub(super) const SINTER: Spec = Spec::new("sinter", -2, READONLY, |ctx, args| {
    run(ctx, args, |all, other| {
        all.iter().filter(|member| other.contains(member)).collect()
    })
})
.all_keys(1);
pub(super) const SUNION: Spec = Spec::new("sunion", -2, READONLY, |ctx, args| {
    run(ctx, args, |all, other| {
        all.iter().chain(other.iter()).collect()
    })
})
.all_keys(1);
pub(super) const SDIFF: Spec = Spec::new("sdiff", -2, READONLY, |ctx, args| {
    run(ctx, args, |all, other| {
        all.iter()
            .filter(|member| !other.contains(member))
            .collect()
    })
})
.all_keys(1);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], combine: fn(&Set, &Set) -> Vec<Bytes>) -> Outcome {
    let mut result: Option<Set> = None;
    for key in &args[1..] {
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
    let members = result.unwrap_or_default();
    Ok(Reply::Set(members.iter().map(Reply::Bulk).collect()))
}
