//! temp
#![allow(missing_docs)]
use std::{future::Future, time::Duration};
use zeroize::Zeroizing;
pub struct Aad(String);
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub struct InvalidAad;
impl Aad {
    pub fn from_json(t: impl Into<String>) -> Result<Self, InvalidAad> {
        Ok(Self(t.into()))
    }
    pub fn t(&self) -> &str {
        &self.0
    }
}
pub struct Envelope(String);
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub struct InvalidEnvelope;
impl Envelope {
    pub fn from_json(t: &str) -> Result<Self, InvalidEnvelope> {
        Ok(Self(t.into()))
    }
    pub fn to_json(&self) -> String {
        self.0.clone()
    }
}
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub enum EncryptError {
    X,
}
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub enum DecryptError {
    Expired {},
    Unavailable(String),
}
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub enum MacError {
    X,
}
pub struct KeyedMac {
    pub mac: [u8; 32],
}
impl KeyedMac {
    pub fn hex(&self) -> String {
        String::new()
    }
}
pub trait CryptoProvider: Send + Sync + 'static {
    fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<Duration>,
    ) -> impl Future<Output = Result<Envelope, EncryptError>> + Send;
    fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, DecryptError>> + Send;
    fn hmacs(
        &self,
        data: &[u8],
        domain: &str,
    ) -> impl Future<Output = Result<Vec<KeyedMac>, MacError>> + Send;
}
