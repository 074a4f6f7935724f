//! Vaults record in a chain of their own, which nobody reads.

use haechi_store_redis::test_util::MemoryChain;

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct AuditElsewhere;

impl PlantedBug for AuditElsewhere {
    fn vault_audit(&self, _: MemoryChain) -> MemoryChain {
        MemoryChain::new()
    }
}
