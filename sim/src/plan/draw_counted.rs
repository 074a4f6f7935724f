//! Draws faults by the number of the command that they strike.

use rand::RngExt;

use super::{
    CountedFault, CountedPlan,
    counted_faults::{COUNTED, Member},
    fault::ERRORS,
    generator,
};

/// Faults of one plan.
const FAULTS: usize = 12;

/// The commands among which they strike.
const COMMANDS: u64 = 120;

impl CountedPlan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = generator(seed, "counted faults");
        let mut draw = |_| {
            // Half of them at single commands.
            let among = match rng.random_ratio(1, 2) {
                true => &COUNTED[..6],
                false => &COUNTED[6..],
            };
            let (kind, member) = among[rng.random_range(0..among.len())];
            let of = rng.random_ratio(1, 2).then(|| "write".to_owned());
            let mut fault = CountedFault {
                kind,
                nth: rng.random_range(1..=COMMANDS),
                of,
                ms: None,
                lasts: None,
                loses: None,
                error: None,
            };
            match member {
                Member::None => {}
                Member::Ms => fault.ms = Some(rng.random_range(50..=2000)),
                Member::Lasts => fault.lasts = Some(rng.random_range(1..=8)),
                Member::Loses => fault.loses = Some(rng.random_range(1..=5)),
                Member::Error => {
                    let error = ERRORS[rng.random_range(0..ERRORS.len())];
                    fault.error = Some(error.to_owned());
                }
            }
            fault
        };
        let mut faults: Vec<_> = (0..FAULTS).map(&mut draw).collect();
        faults.sort_by_key(|fault| fault.nth);
        Self { faults }
    }
}
