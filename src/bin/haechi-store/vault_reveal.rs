//! `vault reveal`: one token's plaintext, audited.

use std::io::Write;

use haechi_store_redis::vault::{Refusal, RevealError, RevealPolicy, VaultPolicy};

use crate::{
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::KeyFileArg,
    vault_open::{IdentityArg, Open, append_failure, object},
};

/// Print what a token stands for; recorded in the audit chain
#[derive(clap::Args)]
#[command(after_help = "\
Prints the plaintext, and a newline. Without --reveal-policy it is denied, and that is audited too.

Example:
  haechi-store vault reveal tok_email_5f8e… --key-file vault.keys \\
    --reveal-policy local-dev")]
pub(crate) struct Args {
    /// The token
    #[arg(value_name = "TOKEN")]
    token: String,

    /// Why it may be revealed: any text, recorded in the audit chain; `disabled` denies
    #[arg(long, value_name = "POLICY", default_value = "disabled")]
    reveal_policy: String,

    /// A JSON object to open the envelope under, instead of the stored context
    #[arg(long, value_name = "JSON")]
    context: Option<String>,

    #[command(flatten)]
    who: IdentityArg,

    #[command(flatten)]
    keys: KeyFileArg,
}

/// The argument may be a plaintext.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").finish_non_exhaustive()
    }
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let mut policy = VaultPolicy::default();
    policy.reveal = match args.reveal_policy.as_str() {
        "disabled" => RevealPolicy::Disabled,
        name => RevealPolicy::Allowed(name.to_owned()),
    };
    let context = match &args.context {
        None => None,
        text => Some(object("--context", text.as_deref())?),
    };
    let open = Open::identified(&args.keys, global, policy, &args.who).await?;
    let revealed = open.vault.reveal(&args.token, context.as_ref()).await;
    let client = open.client.clone();
    open.close(global, console).await;
    match revealed {
        Ok(plaintext) => {
            let mut out = console::stdout();
            writeln!(out, "{}", plaintext.expose())?;
            out.flush()?;
            Ok(Exit::Success)
        }
        Err(RevealError::Refused(Refusal::Unavailable(error))) => {
            Err(read_failure(&client, &error))
        }
        Err(RevealError::NotAudited(error)) => {
            let what = RevealError::NotAudited(error.clone()).to_string();
            Err(append_failure(&client, &error, &what))
        }
        Err(RevealError::Refused(Refusal::PolicyDisabled)) => Err(Failure::negative(
            "not revealed: the reveal policy is disabled; say why it may be revealed with \
             --reveal-policy NAME"
                .to_owned(),
        )),
        Err(refused) => Err(Failure::negative(refused.to_string())),
    }
}
