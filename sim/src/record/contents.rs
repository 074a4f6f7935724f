//! What Redis has of the chain and the vault at one moment, and what of it is gone at
//! another.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use haechi_history::{Loss, Text};
use haechi_store_redis::{
    chain::StoredRecord,
    redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix},
};

use crate::plan::{Knobs, Workload};

/// The keys that faults strike, of the stores that a run has; locks have faults of
/// their own.
#[derive(Clone)]
pub(crate) struct StoreKeys {
    pub(crate) audit: AuditKeys,
    pub(crate) vault: VaultKeys,
    pub(crate) all: Vec<String>,
}

impl StoreKeys {
    pub(crate) fn new(knobs: &Knobs) -> Self {
        let audit = AuditKeys::new(AuditPrefix::default());
        let vault = VaultKeys::new(VaultPrefix::default());
        let mut all = Vec::new();
        if knobs.workload.has_chain() {
            all.extend([&audit.chain, &audit.head, &audit.head_hash].map(Clone::clone));
        }
        if knobs.workload.has_vault() {
            let keys = [
                &vault.tokens,
                &vault.version,
                &vault.receipts,
                &vault.expiry,
            ];
            all.extend(keys.map(Clone::clone));
        }
        Self { audit, vault, all }
    }

    /// The amount of a fault that evicts the keys of the chain, or those of the vault.
    pub(crate) fn amount_of(&self, half: Workload) -> i64 {
        let chain = AuditPrefix::default().to_string();
        let keys = self.all.iter().enumerate();
        keys.filter(|(_, key)| match key.starts_with(&chain) {
            true => half.has_chain(),
            false => half.has_vault(),
        })
        .map(|(number, _)| 1 << number)
        .sum()
    }

    /// The key of this number, counted round and round.
    pub(crate) fn one(&self, number: u64) -> &str {
        &self.all[number as usize % self.all.len()]
    }
}

/// The chain and the vault.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The records, and the event hash of each.
    records: Vec<(String, Bytes)>,
    tokens: BTreeMap<Bytes, Bytes>,
    version: u64,
    /// The receipts of mutations.
    receipts: BTreeMap<Bytes, Bytes>,
}

impl Contents {
    /// The contents of these keys.
    pub(crate) fn new(
        list: impl IntoIterator<Item = Bytes>,
        tokens: impl IntoIterator<Item = (Bytes, Bytes)>,
        version: Option<&[u8]>,
        receipts: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Self {
        let record = |text: Bytes| {
            let record = StoredRecord::parse(&text).ok()?;
            Some((record.position.event_hash.to_string(), text))
        };
        let version = version.and_then(|version| std::str::from_utf8(version).ok()?.parse().ok());
        let receipts = receipts.into_iter();
        Self {
            records: list.into_iter().filter_map(record).collect(),
            tokens: tokens.into_iter().collect(),
            version: version.unwrap_or(0),
            receipts: receipts.filter(|(id, _)| !id.starts_with(b"#")).collect(),
        }
    }

    /// What there is, and is not in `then`.
    pub(crate) fn lost(&self, then: &Self) -> Loss<Text<'static>> {
        let kept: BTreeSet<&str> = then.records.iter().map(|(hash, _)| &**hash).collect();
        let hashes = self.records.iter().map(|(hash, _)| hash);
        let tokens: BTreeSet<&Bytes> = self.tokens.keys().chain(then.tokens.keys()).collect();
        let differs = |token: &&Bytes| self.tokens.get(*token) != then.tokens.get(*token);
        // Or it is open again.
        let is_open = |receipt: &Bytes| receipt.starts_with(b"open ");
        let is_gone = |(id, receipt): (&Bytes, &Bytes)| match then.receipts.get(id) {
            None => true,
            Some(before) => is_open(before) && !is_open(receipt),
        };
        Loss {
            hashes: hashes
                .filter(|hash| !kept.contains(hash.as_str()))
                .map(|hash| hash.clone().into())
                .collect(),
            tokens: tokens
                .into_iter()
                .filter(differs)
                .map(|token| String::from_utf8_lossy(token).into_owned().into())
                .collect(),
            versions: (then.version + 1..=self.version).collect(),
            receipts: self.receipts.iter().any(is_gone),
            ..Loss::default()
        }
    }

    /// The mutations that were applied, and at which versions, by their receipts.
    pub(crate) fn applied(&self) -> BTreeMap<String, u64> {
        let version = |receipt: &Bytes| {
            let mut words = std::str::from_utf8(receipt).ok()?.split(' ');
            (words.next()? == "done").then(|| words.next()?.parse().ok())?
        };
        let name = |id: &Bytes| String::from_utf8_lossy(id).into_owned();
        let receipts = self.receipts.iter();
        receipts
            .filter_map(|(id, receipt)| Some((name(id), version(receipt)?)))
            .collect()
    }

    /// The records with these event hashes.
    pub(super) fn records(&self, hashes: &[Text<'_>]) -> impl Iterator<Item = &[u8]> {
        let hashes: BTreeSet<&str> = hashes.iter().map(|hash| &**hash).collect();
        let records = self.records.iter();
        records
            .filter(move |(hash, _)| hashes.contains(hash.as_str()))
            .map(|(_, text)| &text[..])
    }
}

/// Whether something is lost.
pub(crate) fn has_taken<T>(loss: &Loss<T>) -> bool {
    !loss.hashes.is_empty() || !loss.tokens.is_empty() || !loss.versions.is_empty() || loss.receipts
}
