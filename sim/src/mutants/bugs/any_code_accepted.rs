use std::{future::Future, pin::Pin, sync::Arc};

use haechi_store_redis::{audit::LossKeys, chain::Loss};

use crate::mutants::bug::PlantedBug;

/// Takes every code of a record that accepts a loss.
pub(in crate::mutants) struct AnyCodeAccepted;

struct AnyCode;

impl LossKeys for AnyCode {
    fn verifies<'a>(
        &'a self,
        _: &'a Loss,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async { true })
    }
}

impl PlantedBug for AnyCodeAccepted {
    fn loss_keys(&self) -> Option<Arc<dyn LossKeys>> {
        Some(Arc::new(AnyCode))
    }
}
