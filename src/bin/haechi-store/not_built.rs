//! Commands that are planned but not in this version: they are recognized, do
//! nothing, and say so.

use crate::exit::Failure;

/// Whatever follows the command's name.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Arguments may be tokens or handles; none is repeated.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} arguments", self.rest.len())
    }
}

/// That `what` is not built.
pub(crate) fn failure(what: &str) -> Failure {
    Failure::error(format!(
        "`haechi-store {what}` is not built yet in version {}, and nothing was done; \
         `haechi-store --help` lists what is",
        env!("CARGO_PKG_VERSION")
    ))
}
