//! Planned commands: they are recognized and report that they are not built.

use crate::exit::Failure;

/// All further arguments.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Arguments may be tokens or handles, so they are not shown.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} arguments", self.rest.len())
    }
}

/// The failure of a command that is not built.
pub(crate) fn failure(what: &str) -> Failure {
    Failure::error(format!(
        "`haechi-store {what}` is not built yet in version {}, and nothing was done; \
         `haechi-store --help` lists what is",
        env!("CARGO_PKG_VERSION")
    ))
}
