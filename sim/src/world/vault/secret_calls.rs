//! What callers do to the vault that turns plaintexts into tokens.

use haechi_store_redis::vault::{
    Details, MutateError, PurgeError, Refusal, RevealError, TokenizeError,
};

use super::{
    calls::Caller,
    knobs::Action,
    noted::CALL,
    secrets::{PLAINTEXT, Secrets, deterministic, random},
};
use crate::world::host::Host;
use haechi_history::OpId;

impl<H: Host> Caller<'_, H> {
    /// Does one thing to the vault of plaintexts; what it changes, and only
    /// that, is in the history.
    pub(super) async fn act_on_secrets(
        &self,
        secrets: &Secrets<H>,
        action: Action,
        coin: bool,
        number: usize,
    ) {
        let Some(call) = self.shared.call(self.replica, self.process) else {
            return;
        };
        let ended = match action {
            Action::Tokenize => {
                let act = self.tokenize(secrets, call, coin, number);
                CALL.scope(call, Box::pin(act)).await
            }
            Action::PurgeKnown => match secrets.known(1 + number).pop() {
                Some((token, _)) => {
                    let purge = Box::pin(secrets.vault.purge(token.as_str()));
                    told(CALL.scope(call, purge).await)
                }
                None => Ok(()),
            },
            Action::PurgeExpired => {
                let purge = Box::pin(secrets.vault.purge_expired());
                told(CALL.scope(call, purge).await)
            }
            _ if coin => self.reveal(secrets, number).await,
            _ => self.detokenize(secrets).await,
        };
        self.shared.end_vault_call(call, ended);
    }

    async fn tokenize(
        &self,
        secrets: &Secrets<H>,
        call: OpId,
        is_random: bool,
        number: usize,
    ) -> Result<(), Failure> {
        let (token_type, plaintext) = if is_random {
            (random(), format!("{PLAINTEXT}{call}"))
        } else {
            (deterministic(), format!("{PLAINTEXT}{number}@example.org"))
        };
        let Some(token_type) = token_type else {
            return Ok(());
        };
        let vault = &secrets.vault;
        let made = vault.tokenize(&token_type, &plaintext, Details::default());
        match made.await {
            Ok(made) => {
                secrets.learn(made.token, plaintext);
                Ok(())
            }
            Err(error) => Err(Failure {
                is_unknown: matches!(error, TokenizeError::Unknown(_)),
                error: error.to_string(),
            }),
        }
    }

    async fn reveal(&self, secrets: &Secrets<H>, number: usize) -> Result<(), Failure> {
        let Some((token, plaintext)) = secrets.known(1 + number).pop() else {
            return Ok(());
        };
        match Box::pin(secrets.vault.reveal(token.as_str(), None)).await {
            Ok(revealed) if revealed.expose() == plaintext => Ok(()),
            Ok(_) => {
                let reason = format!("{token} reveals what it does not stand for");
                self.shared.undecryptable(reason);
                Ok(())
            }
            Err(error) => {
                if let RevealError::Refused(
                    refusal @ (Refusal::EnvelopeExpired
                    | Refusal::Decrypt(_)
                    | Refusal::Unreadable(_)),
                ) = &error
                {
                    self.shared.undecryptable(format!("{token}: {refusal}"));
                }
                Err(Failure {
                    is_unknown: false,
                    error: error.to_string(),
                })
            }
        }
    }

    async fn detokenize(&self, secrets: &Secrets<H>) -> Result<(), Failure> {
        let known = secrets.known(40);
        let names: Vec<String> = known.iter().map(|(token, _)| token.to_string()).collect();
        match Box::pin(secrets.vault.detokenize(&names)).await {
            Ok(restored) => {
                for (restored, (token, plaintext)) in restored.iter().zip(&known) {
                    let is_right = restored
                        .plaintext
                        .as_ref()
                        .is_none_or(|restored| restored.expose() == plaintext);
                    if !is_right || restored.token != token.as_str() {
                        let reason = format!("{token} is restored as what it does not stand for");
                        self.shared.undecryptable(reason);
                    }
                }
                Ok(())
            }
            Err(error) => Err(Failure {
                is_unknown: false,
                error: error.to_string(),
            }),
        }
    }
}

/// Why a call of the vault failed.
pub(crate) struct Failure {
    pub(crate) is_unknown: bool,
    pub(crate) error: String,
}

fn told<T>(outcome: Result<T, PurgeError>) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure {
            is_unknown: matches!(error, PurgeError::Mutate(MutateError::Unknown { .. })),
            error: error.to_string(),
        }),
    }
}
