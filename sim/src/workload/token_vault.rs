//! Callers of the production `TokenVault`. The history contains only their
//! mutations.

use haechi_history::{Function, OpId};
use haechi_store_redis::{
    AppendError, Corrupt, DurabilityStatus, ReadError,
    crypto::DecryptError,
    vault::{
        Details, DetokenizeError, MutateError, PurgeError, Refusal, RevealError, TokenizeError,
        VaultResumeError, Version,
    },
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

/// How often the acceptance of a loss is tried again.
const TRIES: usize = 4;

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
    ) -> Result<DurabilityStatus, Failure> {
        let (token_type, plaintext) = if is_random {
            (random(), format!("{PLAINTEXT}{call}"))
        } else {
            (deterministic(), format!("{PLAINTEXT}{number}@example.org"))
        };
        let Some(token_type) = token_type else {
            return Ok(DurabilityStatus::AsAsked);
        };
        let vault = self.client.vault();
        let made = vault.tokenize(&token_type, &plaintext, Details::default());
        match made.await {
            Ok(made) => {
                let value = (made.token.to_string(), plaintext_hash(&plaintext));
                let recorder = self.process.recorder;
                recorder.accessed(call, Function::Tokenize, vec![value]);
                self.client.learn(made.token);
                Ok(made.durability)
            }
            Err(error) => Err(Failure {
                is_unknown: matches!(error, TokenizeError::Unknown(_)),
                error: error.to_string(),
                corrupt: match error {
                    TokenizeError::Corrupt(corrupt) => Some(corrupt),
                    _ => None,
                },
            }),
        }
    }

    /// Reveals a token that this process created.
    pub(super) async fn reveal(
        &self,
        call: OpId,
        number: usize,
    ) -> Result<DurabilityStatus, Failure> {
        let Some(token) = self.client.known(number.saturating_add(1)).pop() else {
            return Ok(DurabilityStatus::AsAsked);
        };
        let recorder = self.process.recorder;
        match self.client.vault().reveal(token.as_str(), None).await {
            Ok(revealed) => {
                let value = (token.to_string(), plaintext_hash(revealed.expose()));
                recorder.accessed(call, Function::Reveal, vec![value]);
                Ok(DurabilityStatus::AsAsked)
            }
            Err(error) => {
                let is_down = matches!(
                    error,
                    RevealError::Refused(Refusal::Decrypt(DecryptError::Unavailable(_)))
                );
                if let RevealError::Refused(
                    refusal @ (Refusal::EnvelopeExpired
                    | Refusal::Decrypt(_)
                    | Refusal::Unreadable(_)),
                ) = &error
                    && !is_down
                {
                    recorder.undecryptable(format!("{token}: {refusal}"));
                }
                Err(Failure {
                    is_unknown: false,
                    error: error.to_string(),
                    corrupt: match error {
                        RevealError::NotAudited(error) => of_append(error),
                        RevealError::Refused(Refusal::Unavailable(error)) => of_read(error),
                        RevealError::Refused(_) => None,
                    },
                })
            }
        }
    }

    /// Restores the latest tokens that this process created.
    pub(super) async fn detokenize(&self, call: OpId) -> Result<DurabilityStatus, Failure> {
        let known = self.client.known(40);
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        match self.client.vault().detokenize(&names).await {
            Ok(restored) => {
                let values = restored.into_iter().filter_map(|restored| {
                    let plaintext = restored.plaintext?;
                    Some((restored.token, plaintext_hash(plaintext.expose())))
                });
                let recorder = self.process.recorder;
                recorder.accessed(call, Function::Detokenize, values.collect());
                Ok(DurabilityStatus::AsAsked)
            }
            Err(error) => Err(Failure {
                is_unknown: false,
                error: error.to_string(),
                corrupt: match error {
                    DetokenizeError::NotAudited(error) => of_append(error),
                    DetokenizeError::Read(error) => of_read(error),
                    _ => None,
                },
            }),
        }
    }

    /// Accepts, whenever an operator asks for it, that what this process has seen is gone.
    pub(super) async fn accept_losses(&self) {
        let Process { host, number, .. } = self.process;
        loop {
            host.is_to_accept_vault_loss(*number).await;
            if self.accept_loss().await {
                host.vault_loss_accepted(*number);
            }
        }
    }

    /// Accepts what is gone now; returns whether that was done.
    async fn accept_loss(&self) -> bool {
        let Process { name, recorder, .. } = self.process;
        let mut lost = Version::new(1)..=Version::new(1);
        for _ in 0..TRIES {
            let resumed = self.client.vault().resume(lost.clone()).await;
            let ended = || match &resumed {
                Ok(()) => format!("{name} goes on after the loss of versions {lost:?}"),
                Err(error) => format!("{name}: {error}"),
            };
            recorder.trace(ended);
            match resumed {
                Ok(()) => {
                    recorder.names_lost_versions(name, *lost.end());
                    return true;
                }
                Err(VaultResumeError::NotThese { seen, first, .. }) => {
                    recorder.names_lost_versions(name, seen);
                    lost = first..=seen;
                }
                Err(VaultResumeError::Read(ReadError::Corrupt(corrupt))) => {
                    recorder.corrupt(name, &corrupt);
                }
                Err(VaultResumeError::NotAudited(error)) => {
                    recorder.append_refused(&format!("{name}/vault"), &error);
                }
                Err(VaultResumeError::Read(_)) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Waits for what a call goes on with when its caller has left.
    pub(super) async fn finish(&self, call: OpId) {
        if let Some(task) = self.client.left(call)
            && self.process.store.goes_on(&task)
        {
            let _ = task.await;
        }
    }

    /// Purges a token that this process created.
    pub(super) async fn purge(
        &self,
        call: OpId,
        number: usize,
    ) -> Result<DurabilityStatus, Failure> {
        let Some(token) = self.client.known(number.saturating_add(1)).pop() else {
            return Ok(DurabilityStatus::AsAsked);
        };
        self.process.recorder.purges(call, Function::Purge);
        let purged = self.client.vault().purge(token.as_str()).await;
        ended(purged.map(|purged| purged.durability))
    }

    /// Purges all expired tokens.
    pub(super) async fn purge_expired(&self, call: OpId) -> Result<DurabilityStatus, Failure> {
        self.process.recorder.purges(call, Function::PurgeExpired);
        let purged = self.client.vault().purge_expired().await;
        ended(purged.map(|purged| purged.durability))
    }
}

/// Stands in for a plaintext.
pub(crate) fn plaintext_hash(plaintext: &str) -> String {
    format!("{:016x}", fnv1a(plaintext.as_bytes()))
}

impl<H: Host> Actor for TokenVaultActor<'_, H> {
    type Operation = TokenVaultOperation;

    async fn act(&self, _: usize, operation: &TokenVaultOperation) {
        self.call(operation).await;
    }

    /// Every operation but a reveal, which a wrong clock refuses.
    async fn make_progress(&self, _: &mut ChaCha8Rng) -> bool {
        for operation in [
            TokenVaultOperation::Tokenize {
                random: true,
                number: 0,
            },
            TokenVaultOperation::Detokenize,
            TokenVaultOperation::Purge { number: 0 },
            TokenVaultOperation::PurgeExpired,
        ] {
            if !self.call(&operation).await {
                return false;
            }
        }
        true
    }
}

impl<H: Host> TokenVaultActor<'_, H> {
    /// Carries out one operation; returns whether it succeeded.
    async fn call(&self, operation: &TokenVaultOperation) -> bool {
        let recorder = self.process.recorder;
        let f = match operation {
            TokenVaultOperation::Reopen { within } => {
                self.client.reopen(self.process, *within).await;
                return true;
            }
            TokenVaultOperation::Tokenize { .. } => Function::Tokenize,
            TokenVaultOperation::Reveal { .. } => Function::Reveal,
            TokenVaultOperation::Detokenize => Function::Detokenize,
            TokenVaultOperation::Purge { .. } => Function::Purge,
            TokenVaultOperation::PurgeExpired => Function::PurgeExpired,
        };
        let Some(call) = recorder.call(self.process.number, &self.process.name, f) else {
            return false;
        };
        let act = async {
            match operation {
                TokenVaultOperation::Tokenize { random, number } => {
                    self.tokenize(call, *random, *number).await
                }
                TokenVaultOperation::Reveal { number } => self.reveal(call, *number).await,
                TokenVaultOperation::Detokenize => self.detokenize(call).await,
                TokenVaultOperation::Purge { number } => self.purge(call, *number).await,
                TokenVaultOperation::PurgeExpired => self.purge_expired(call).await,
                TokenVaultOperation::Reopen { .. } => Ok(DurabilityStatus::AsAsked),
            }
        };
        let ended = CALL.scope(call, Box::pin(act)).await;
        drop(self.client.left(call));
        let is_ok = ended.is_ok();
        recorder.end_vault_call(&self.process.name, call, ended);
        is_ok
    }
}

fn ended(outcome: Result<DurabilityStatus, PurgeError>) -> Result<DurabilityStatus, Failure> {
    match outcome {
        Ok(durability) => Ok(durability),
        Err(error) => Err(Failure {
            is_unknown: matches!(
                error,
                PurgeError::Mutate(MutateError::Unknown { .. }) | PurgeError::Abandoned
            ),
            error: error.to_string(),
            corrupt: match error {
                PurgeError::Mutate(MutateError::Corrupt(corrupt)) => Some(corrupt),
                PurgeError::Read(error) => of_read(error),
                PurgeError::NotAudited(error)
                | PurgeError::OutcomeNotAudited { cause: error, .. } => of_append(error),
                _ => None,
            },
        }),
    }
}

fn of_append(error: AppendError) -> Option<Corrupt> {
    match error {
        AppendError::Corrupt(corrupt) => Some(corrupt),
        _ => None,
    }
}

fn of_read(error: ReadError) -> Option<Corrupt> {
    match error {
        ReadError::Corrupt(corrupt) => Some(corrupt),
        ReadError::Unavailable(_) => None,
    }
}
