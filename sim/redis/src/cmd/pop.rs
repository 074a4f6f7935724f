//! LPOP key [count], RPOP key [count]

use super::prelude::*;

pub(super) const LPOP: Spec = Spec::new("lpop", -2, WRITE | FAST, |ctx, args| {
    run(ctx, args, List::pop_front)
})
.one_key();
pub(super) const RPOP: Spec = Spec::new("rpop", -2, WRITE | FAST, |ctx, args| {
    run(ctx, args, List::pop_back)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], pop: fn(&mut List) -> Option<Bytes>) -> Outcome {
    let wanted = match args {
        [_, _] => None,
        [_, _, wanted] => Some(count(wanted)?),
        _ => {
            return Err(wrong_arity(
                &String::from_utf8_lossy(&args[0]).to_ascii_lowercase(),
            ));
        }
    };
    let Some(list) = ctx.db().write::<List>(&args[1])? else {
        return Ok(if wanted.is_some() {
            Reply::NilArray
        } else {
            Reply::Nil
        });
    };
    let reply = match wanted {
        None => Reply::optional(pop(list).as_ref()),
        Some(0) => return Ok(Reply::Array(Vec::new())),
        Some(wanted) => Reply::Array(
            std::iter::from_fn(|| pop(list))
                .take(wanted)
                .map(Reply::Bulk)
                .collect(),
        ),
    };
    ctx.db().tidy(&args[1]);
    Ok(reply)
}
