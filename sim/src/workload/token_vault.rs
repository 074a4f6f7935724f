//! Callers of the production `TokenVault`. The history contains only their
//! mutations.

use haechi_history::{Function, OpId};
use haechi_store_redis::vault::{
    Details, MutateError, PurgeError, Refusal, RevealError, TokenizeError,
};
use rand_chacha::ChaCha8Rng;

use super::{
    Actor, Host, Process,
    token_store::TokenStoreActor,
    vault_client::{VaultClient, deterministic, random},
};
use crate::{
    plan::{TokenVaultOperation, fnv1a},
    record::{CALL, Failure, PLAINTEXT},
};

/// The `TokenVault` of one process, over its token store.
pub(super) struct TokenVaultActor<'a, H: Host> {
    process: &'a Process<'a, H>,
    client: &'a VaultClient<H>,
}

impl<'a, H: Host> TokenVaultActor<'a, H> {
    /// The vault over an open token store.
    pub(super) fn over(store: &'a TokenStoreActor<'a, H>) -> Option<Self> {
        Some(Self {
            process: store.process,
            client: store.client.as_ref()?,
        })
    }

    /// Turns a plaintext into a token, within a call.
    pub(super) async fn tokenize(
        &self,
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
        let vault = &self.client.vault;
        let made = vault.tokenize(&token_type, &plaintext, Details::default());
        match made.await {
            Ok(made) => {
                self.client.learn(made.token, plaintext);
                Ok(())
            }
            Err(error) => Err(Failure {
                is_unknown: matches!(error, TokenizeError::Unknown(_)),
                error: error.to_string(),
            }),
        }
    }

    async fn reveal(&self, call: OpId, number: usize) -> Result<(), Failure> {
        let Some((token, plaintext)) = self.client.known(1 + number).pop() else {
            return Ok(());
        };
        let recorder = self.process.recorder;
        match self.client.vault.reveal(token.as_str(), None).await {
            Ok(revealed) => {
                let value = format!("{:016x}", fnv1a(revealed.expose().as_bytes()));
                recorder.token_accessed(call, Function::Reveal, token.as_str(), &value);
                if revealed.expose() != plaintext {
                    let reason = format!("{token} reveals a wrong plaintext");
                    recorder.undecryptable(reason);
                }
                Ok(())
            }
            Err(error) => {
                if let RevealError::Refused(
                    refusal @ (Refusal::EnvelopeExpired
                    | Refusal::Decrypt(_)
                    | Refusal::Unreadable(_)),
                ) = &error
                {
                    recorder.undecryptable(format!("{token}: {refusal}"));
                }
                Err(Failure {
                    is_unknown: false,
                    error: error.to_string(),
                })
            }
        }
    }

    async fn detokenize(&self) -> Result<(), Failure> {
        let known = self.client.known(40);
        let names: Vec<String> = known.iter().map(|(token, _)| token.to_string()).collect();
        match self.client.vault.detokenize(&names).await {
            Ok(restored) => {
                for (restored, (token, plaintext)) in restored.iter().zip(&known) {
                    let is_right = restored
                        .plaintext
                        .as_ref()
                        .is_none_or(|restored| restored.expose() == plaintext);
                    if !is_right || restored.token != token.as_str() {
                        let reason = format!("{token} is restored as a wrong plaintext");
                        self.process.recorder.undecryptable(reason);
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

    async fn purge(&self, call: OpId, number: usize) -> Result<(), Failure> {
        let Some((token, _)) = self.client.known(1 + number).pop() else {
            return Ok(());
        };
        let outcome = self.client.vault.purge(token.as_str()).await;
        if outcome.is_ok() {
            let recorder = self.process.recorder;
            recorder.token_accessed(call, Function::Purge, token.as_str(), "");
        }
        purged(outcome)
    }
}

impl<H: Host> Actor for TokenVaultActor<'_, H> {
    type Operation = TokenVaultOperation;

    async fn act(&self, _: usize, operation: &TokenVaultOperation) {
        self.call(operation).await;
    }

    async fn make_progress(&self, _: &mut ChaCha8Rng) -> bool {
        let operation = TokenVaultOperation::Tokenize {
            random: true,
            number: 0,
        };
        self.call(&operation).await
    }
}

impl<H: Host> TokenVaultActor<'_, H> {
    /// Carries out one operation; returns whether it succeeded.
    async fn call(&self, operation: &TokenVaultOperation) -> bool {
        let recorder = self.process.recorder;
        let Some(call) = recorder.call(self.process.number, &self.process.name) else {
            return false;
        };
        let act = async {
            match operation {
                TokenVaultOperation::Tokenize { random, number } => {
                    self.tokenize(call, *random, *number).await
                }
                TokenVaultOperation::Reveal { number } => self.reveal(call, *number).await,
                TokenVaultOperation::Detokenize => self.detokenize().await,
                TokenVaultOperation::Purge { number } => self.purge(call, *number).await,
                TokenVaultOperation::PurgeExpired => {
                    purged(self.client.vault.purge_expired().await)
                }
            }
        };
        let ended = CALL.scope(call, Box::pin(act)).await;
        let is_ok = ended.is_ok();
        recorder.end_vault_call(call, ended);
        is_ok
    }
}

fn purged<T>(outcome: Result<T, PurgeError>) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure {
            is_unknown: matches!(error, PurgeError::Mutate(MutateError::Unknown { .. })),
            error: error.to_string(),
        }),
    }
}
