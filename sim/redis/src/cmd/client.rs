//! CLIENT ID | GETNAME | SETNAME | SETINFO | NO-EVICT

use super::prelude::*;

pub(super) const CLIENT: Spec = Spec::container(
    "client",
    &[
        Spec::new("client|id", 2, CONNECTION, id),
        Spec::new("client|getname", 2, CONNECTION, get_name),
        Spec::new("client|setname", 3, CONNECTION, set_name),
        // Not in redis-server 7.0, but newer clients send it first.
        Spec::new("client|setinfo", 4, CONNECTION, set_info),
        Spec::new("client|no-evict", 3, CONNECTION | ADMIN, no_evict),
    ],
);

fn id(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::Integer(
        i64::try_from(ctx.session.id).unwrap_or(i64::MAX),
    ))
}

fn get_name(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    let name = &ctx.session.name;
    Ok(if name.is_empty() {
        Reply::Nil
    } else {
        Reply::Bulk(name.clone())
    })
}

fn set_name(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    ctx.session.name = checked_name(&args[2])?;
    Ok(Reply::OK)
}

fn set_info(_: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::OK)
}

fn no_evict(_: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if is(&args[2], "on") || is(&args[2], "off") {
        Ok(Reply::OK)
    } else {
        Err(SYNTAX)
    }
}

/// A connection's name: printable ASCII without blanks.
pub(super) fn checked_name(name: &Bytes) -> Result<Bytes, Reply> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(keep(name))
    } else {
        Err(Reply::fail(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ))
    }
}
