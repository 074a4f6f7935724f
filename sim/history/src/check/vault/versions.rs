//! `stale_write` and `lost_token` as far as versions alone prove them, and the list
//! of versions for the search, in order of time across losses.
//!
//! A loss that names versions cuts the vault back to the one before the least of
//! them, and what is written later counts on from there; each stretch between two
//! such losses is an *era*. An acknowledgement that spans a loss belongs to the
//! earliest era that does not have its version already, if that version was taken
//! and a later era has no use for it, or else to the latest. If it is known to have been
//! taken, and a later era has use for its version too, it has no place: only its values
//! tell.

use super::ids::MutateId;
use std::collections::{BTreeMap, BTreeSet};

use crate::check::invariant::Invariant;
use crate::check::losses;
use crate::check::verdict::Violation;
use crate::check::view::violation;
use crate::{Durability, Loss};

use super::plan::{Plan, Version};

/// Lays out `pinned`, pairs of a version and a mutate.
pub(super) fn lay_out(
    plan: &mut Plan<'_>,
    mut pinned: Vec<(u64, MutateId)>,
    out: &mut Vec<Violation>,
) {
    let cuts = cuts(plan);
    let mut eras: Vec<Vec<(u64, MutateId)>> = vec![Vec::new(); cuts.len() + 1];
    pinned
        .sort_unstable_by_key(|(version, mutate)| (*version, plan.mutates[*mutate].start, *mutate));
    // No more unacknowledged versions than that can be explained.
    let mut fillers = plan.unversioned.len() + plan.unknown_effect.len();
    if cuts.is_empty() {
        eras[0] = pinned;
    } else {
        for mutate in assign(plan, &cuts, &pinned, &mut eras) {
            plan.mutates[mutate].end = u64::MAX;
            plan.mutates[mutate].trusted = false;
            plan.maybe_applied.push(mutate);
            // It had a version before the loss, too.
            fillers += 1;
        }
    }
    let mut fillers = (fillers + plan.maybe_applied.len()) as u64;
    let last = eras.len() - 1;
    let mut base = 0;
    let lowest = |pinned: &Vec<(u64, MutateId)>| pinned.iter().map(|(version, _)| *version).min();
    let firsts: Vec<Option<u64>> = eras.iter().map(lowest).collect();
    for (era, mut pinned) in eras.into_iter().enumerate() {
        let loss = cuts.get(era).copied();
        let taken: BTreeSet<u64> = loss.map_or_else(BTreeSet::new, |(_, loss)| {
            loss.versions.iter().copied().collect()
        });
        if era == last
            && let Some(end) = plan.history.final_version()
        {
            let beyond = pinned.partition_point(|(version, _)| *version <= end);
            for (version, mutate) in pinned.drain(beyond..) {
                out.push(past_the_end(plan, mutate, version, end));
            }
        }
        let (kept, end) = match loss {
            Some((_, loss)) => (
                cut_to(loss),
                loss.versions.iter().copied().max().unwrap_or(0),
            ),
            None => {
                let end = plan.history.final_version().unwrap_or(0);
                (end, end)
            }
        };
        let mut at = base;
        let mut before: Option<MutateId> = None;
        for (version, mutate) in pinned {
            if version <= at {
                // A second one at this version, or one that counts from a lost version.
                let op = plan.operation(mutate).id;
                plan.mutates[mutate].trusted = false;
                if !taken.contains(&version) {
                    out.push(at_one_version(plan, op, before, version));
                }
            } else {
                if loss.is_some() {
                    fill(plan, &mut at, kept.min(version - 1), &taken, &mut fillers);
                }
                fill(plan, &mut at, version - 1, &taken, &mut fillers);
                at = version;
                before = Some(mutate);
            }
            plan.versions.push((Version::Pinned(mutate), at));
            if let Some((index, loss)) = loss
                && taken.contains(&version)
            {
                plan.lost[mutate] = Some(index);
                out.extend(covered(plan, mutate, loss));
            }
        }
        fill(plan, &mut at, kept, &taken, &mut fillers);
        fill(plan, &mut at, end, &taken, &mut fillers);
        if let Some((index, loss)) = loss {
            base = cut_to(loss).min(at);
            plan.versions.push((Version::Cut { loss: index }, base));
            if loss.key_by_key {
                // It counts on from any number, and whatever had not been acknowledged
                // may be among what was kept.
                let end = match cuts.get(era + 1) {
                    Some((_, loss)) => Some(cut_to(loss)),
                    None => plan.history.final_version(),
                };
                let first = firsts[era + 1].map(|first| first.saturating_sub(1));
                base = first.or(end).unwrap_or(base);
                plan.versions.push((Version::Gap { excused: true }, base));
            }
        }
    }
    in_order(plan, out);
    evict(plan);
}

/// A loss that names tokens and no versions happened somewhere among the mutates
/// that ran at its time: it is listed before and after each of them.
fn evict(plan: &mut Plan<'_>) {
    let mut evictions: Vec<(usize, usize)> = Vec::new();
    for (loss, index) in plan.history.losses().iter().zip(0..) {
        if !loss.versions.is_empty() || loss.tokens.is_empty() || loss.split.is_some() {
            continue;
        }
        let before = |place: &(Version, u64)| match place.0 {
            Version::Pinned(mutate) => plan.operation(mutate).end < loss.time,
            _ => false,
        };
        let after = |place: &(Version, u64)| match place.0 {
            Version::Pinned(mutate) => plan.mutates[mutate].start > loss.time,
            _ => false,
        };
        let first = plan
            .versions
            .iter()
            .rposition(before)
            .map_or(0, |place| place + 1);
        let count = plan.versions[first..].iter().position(after);
        let last = count.map_or(plan.versions.len(), |count| first + count);
        evictions.extend((first..=last).map(|place| (place, index)));
    }
    if evictions.is_empty() {
        return;
    }
    evictions.sort_unstable();
    let versions = std::mem::take(&mut plan.versions);
    let mut evictions = evictions.into_iter().peekable();
    let mut version = 0;
    for (index, place) in versions.iter().enumerate() {
        while let Some((_, loss)) = evictions.next_if(|(at, _)| *at <= index) {
            plan.versions.push((Version::Evicted { loss }, version));
        }
        plan.versions.push(*place);
        version = place.1;
    }
    plan.versions
        .extend(evictions.map(|(_, loss)| (Version::Evicted { loss }, version)));
}

/// The losses that cut versions off. Without a version on every acknowledgement
/// nothing tells what was cut off, and none does.
fn cuts<'h>(plan: &Plan<'h>) -> Vec<(usize, &'h Loss)> {
    let losses = plan.history.losses().iter().zip(0..);
    losses
        .filter(|(loss, _)| plan.unversioned.is_empty() && !loss.versions.is_empty())
        .filter(|(loss, _)| loss.split.is_none())
        .map(|(loss, index)| (index, loss))
        .collect()
}

fn cut_to(loss: &Loss) -> u64 {
    let least = loss.versions.iter().min();
    least.map_or(0, |least| least.saturating_sub(1))
}

/// Sorts the mutates by eras, but for those that are returned: a loss took each of them
/// and its receipt, and it may have been applied again, at the same version, so that only
/// its values tell.
fn assign(
    plan: &Plan<'_>,
    cuts: &[(usize, &Loss)],
    pinned: &[(u64, MutateId)],
    eras: &mut [Vec<(u64, MutateId)>],
) -> Vec<MutateId> {
    let mut either = Vec::new();
    let era_at = |time: u64| cuts.partition_point(|(_, loss)| loss.time < time);
    // The versions of each era that are known to be its own, with the start of each.
    let mut definite: Vec<BTreeMap<u64, u64>> = vec![BTreeMap::new(); eras.len()];
    let was_in = |version: u64, mutate: MutateId, loss: &Loss| {
        let acknowledged = (plan.operation(mutate).id, version);
        let ops = loss.ops.as_ref();
        ops.map(|ops| version <= cut_to(loss) || ops.contains(&acknowledged))
    };
    let span = |version: u64, mutate: MutateId| {
        let (start, end) = (plan.mutates[mutate].start, plan.mutates[mutate].end);
        let mut eras = era_at(start)..=era_at(end);
        while eras.start() < eras.end()
            && was_in(version, mutate, cuts[*eras.start()].1) == Some(false)
        {
            eras = *eras.start() + 1..=*eras.end();
        }
        eras
    };
    for (version, mutate) in pinned {
        let span = span(*version, *mutate);
        if span.start() == span.end() {
            definite[*span.start()].insert(*version, plan.mutates[*mutate].start);
        }
    }
    if let (Some(last), Some(end)) = (definite.last_mut(), plan.history.final_version()) {
        // Whatever era the last one is, its versions up to the end are needed.
        last.insert(end + 1, u64::MAX);
    }
    'mutates: for (version, mutate) in pinned {
        let span = span(*version, *mutate);
        let mut era = *span.start();
        while era < *span.end() {
            let (_, loss) = cuts[era];
            let later = &definite[era + 1];
            let end = plan.mutates[*mutate].end;
            let needed = !later.contains_key(version)
                && later.keys().next_back().is_some_and(|top| top > version)
                && later.range(..version).all(|(_, start)| *start <= end);
            let free = !definite[era].contains_key(version);
            let here = match was_in(*version, *mutate, loss) {
                Some(true) if needed && loss.receipts && *version > cut_to(loss) => {
                    either.push(*mutate);
                    continue 'mutates;
                }
                Some(was_in) => was_in,
                None => {
                    *version <= cut_to(loss) || (loss.versions.contains(version) && free && !needed)
                }
            };
            if here {
                break;
            }
            era += 1;
        }
        definite[era].insert(*version, plan.mutates[*mutate].start);
        eras[era].push((*version, *mutate));
    }
    either
}

/// Unacknowledged versions up to a version.
fn fill(plan: &mut Plan<'_>, at: &mut u64, to: u64, taken: &BTreeSet<u64>, fillers: &mut u64) {
    if to <= *at {
        return;
    }
    let count = (to - *at).min(*fillers);
    for version in *at + 1..=*at + count {
        // One that a loss took needs no explanation.
        let excused = taken.contains(&version);
        *fillers -= u64::from(!excused);
        plan.versions.push((Version::Gap { excused }, version));
    }
    let count = to - *at - count;
    if count == 0 {
        *at = to;
        return;
    }
    // Versions that a loss took may have been anyone's.
    let named = taken.range(to - count + 1..=to).count() as u64;
    if count > named {
        let count = count - named;
        plan.versions.push((Version::UnexplainedRun { count }, to));
    } else if count > 0 {
        plan.versions.push((Version::Gap { excused: true }, to));
    }
    *at = to;
}

fn at_one_version(
    plan: &Plan<'_>,
    op: crate::OpId,
    before: Option<MutateId>,
    version: u64,
) -> Violation {
    let mut ops = vec![op];
    let reason = match before {
        Some(first) => {
            let first = plan.operation(first).id;
            ops.push(first);
            format!(
                "mutate {op} was acknowledged at version {version}, which was taken: mutate \
                 {first} has that or a later one"
            )
        }
        None => format!(
            "mutate {op} was acknowledged at version {version}, which stood before it began"
        ),
    };
    violation(Invariant::StaleWrite, ops, reason)
}

fn past_the_end(plan: &Plan<'_>, mutate: MutateId, version: u64, end: u64) -> Violation {
    let op = plan.operation(mutate).id;
    let reason =
        format!("mutate {op} was acknowledged at version {version}; the vault's last is {end}");
    violation(missing(plan, mutate), [op], reason)
}

/// The name for a mutate that is gone: what it only deleted is back.
fn missing(plan: &Plan<'_>, mutate: MutateId) -> Invariant {
    if plan.writes(mutate).all(|(_, value)| value.is_none()) {
        Invariant::ResurrectedToken
    } else {
        Invariant::LostToken
    }
}

/// What a loss took although the acknowledgement's durability covers the fault.
fn covered(plan: &Plan<'_>, mutate: MutateId, loss: &Loss) -> Option<Violation> {
    let durability = plan.mutates[mutate].mutation?.durability;
    let durability = durability.unwrap_or(Durability::Memory);
    losses::covers(plan.history, loss, durability).then(|| {
        let op = plan.operation(mutate).id;
        let fault = plan.history.text(loss.fault);
        let reason = format!(
            "mutate {op} was acknowledged with durability {durability}, which covers {fault}, and \
             is gone"
        );
        violation(missing(plan, mutate), [op], reason)
    })
}

/// Walks the versions backwards, keeping the smallest end among the later ones: a
/// mutate that began after it has too early a version. Each that has too late a one is
/// reported once, with the nearest that overtook it and their number, and orders nothing
/// any more.
fn in_order(plan: &mut Plan<'_>, out: &mut Vec<Violation>) {
    let mut earliest: Option<(u64, MutateId)> = None;
    let mut found: Option<(MutateId, MutateId, u64)> = None;
    let mut reports = Vec::new();
    for (place, _) in plan.versions.iter().rev() {
        let Version::Pinned(mutate) = *place else {
            continue;
        };
        let this = &plan.mutates[mutate];
        if let Some((end, late)) = earliest
            && this.start > end
        {
            match &mut found {
                Some((known, _, others)) if *known == late => *others += 1,
                _ => reports.extend(found.replace((late, mutate, 0))),
            }
        }
        if earliest.is_none_or(|(end, _)| this.end < end) {
            earliest = Some((this.end, mutate));
        }
    }
    reports.extend(found);
    for (late, early, others) in reports {
        let (late_op, early_op) = (plan.operation(late).id, plan.operation(early).id);
        let mut reason = format!(
            "mutate {late_op} was acknowledged before mutate {early_op} began, yet its version is \
             the later one"
        );
        if others > 0 {
            reason.push_str(&format!(" (and later than {others} more that began later)"));
        }
        out.push(violation(
            Invariant::StaleWrite,
            [late_op, early_op],
            reason,
        ));
        plan.mutates[late].end = u64::MAX;
    }
}
