//! Delta debugging (Zeller & Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", 2002): the smallest part of a list that still
//! fails, in the sense that no one item can be left out.

/// Single parts are tried alone up to this number of parts: of many parts, one
/// alone rarely fails.
const ALONE: usize = 4;

/// Leaves items out for as long as the rest `fails`. All of them fail.
pub(crate) fn minimize<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    if items.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut parts = 2;
    while items.len() >= 2 {
        let size = items.len().div_ceil(parts);
        let alone = items
            .chunks(size)
            .find(|part| parts <= ALONE && fails(part))
            .map(<[T]>::to_vec);
        if let Some(part) = alone {
            items = part;
            parts = 2;
            continue;
        }
        let rest = (0..items.len())
            .step_by(size)
            .map(|from| {
                let to = items.len().min(from + size);
                [&items[..from], &items[to..]].concat()
            })
            // The rest of one half is the other, which was tried.
            .find(|rest| parts > 2 && fails(rest));
        if let Some(rest) = rest {
            items = rest;
            parts = (parts - 1).max(2);
        } else if parts >= items.len() {
            break;
        } else {
            parts = (parts * 2).min(items.len());
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::minimize;

    /// Would catch a minimum with a superfluous item, or without a needed one.
    #[test]
    fn only_needed_items_stay() {
        for needed in [&[][..], &[7], &[0, 99], &[3, 4, 5, 50, 51, 98]] {
            let mut runs = 0;
            let left = minimize((0..100).collect(), |items| {
                runs += 1;
                needed.iter().all(|item| items.contains(item))
            });
            assert_eq!(left, needed);
            assert!(runs < 250, "{runs} runs for {needed:?}");
        }
    }

    /// Would catch an endless loop when nothing can be left out.
    #[test]
    fn a_minimal_list_stays_as_it_is() {
        let all: Vec<u32> = (0..20).collect();
        assert_eq!(minimize(all.clone(), |items| items == all), all);
    }
}
