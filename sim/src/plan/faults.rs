//! A choice of faults.

use std::{fmt, str::FromStr};

use strum::VariantArray;

use super::{FaultClass, FaultKind};

/// Faults, as a command line names them: `none`, `all`, or classes and single ones.
#[derive(Clone, Debug)]
pub struct Faults(pub Vec<FaultKind>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Faults(FaultKind::all().collect())),
            "none" => return Ok(Faults(Vec::new())),
            _ => {}
        }
        let mut faults = Vec::new();
        for name in text.split(',') {
            match <FaultClass as clap::ValueEnum>::from_str(name, false) {
                Ok(class) => faults.extend(class.kinds()),
                Err(_) => faults.push(FaultKind::try_from(name.to_owned()).map_err(|error| {
                    format!(
                        "{error},\n  none, all, and the classes network, replica, lock, redis, \
                         data_loss"
                    )
                })?),
            }
        }
        Ok(Faults(faults))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = &self.0;
        if FaultKind::all().all(|kind| faults.contains(&kind)) {
            return f.write_str("all");
        }
        let (mut names, mut single) = (Vec::new(), faults.clone());
        for class in FaultClass::VARIANTS {
            if class.kinds().all(|kind| faults.contains(&kind)) {
                names.push(<&str>::from(class).to_owned());
                single.retain(|kind| kind.class() != *class);
            }
        }
        names.extend(single.iter().map(ToString::to_string));
        match names.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&names.join(",")),
        }
    }
}
