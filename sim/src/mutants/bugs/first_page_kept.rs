//! A reader serves the first page that was read, for ever.

use std::sync::Mutex;

use haechi_store_redis::ReadError;

use super::lock;
use crate::mutants::bug::{PlantedBug, RedisAudit};

#[derive(Default)]
pub(in crate::mutants) struct FirstPageKept(Mutex<Option<Vec<Vec<u8>>>>);

impl PlantedBug for FirstPageKept {
    async fn read<S: RedisAudit>(
        &self,
        next: &S,
        start: u64,
        end: u64,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        let kept = lock(&self.0).clone();
        match kept {
            Some(page) if start == 0 => Ok(page),
            Some(_) => Ok(Vec::new()),
            None => {
                let page = next.read(start, end).await?;
                if start == 0 && !page.is_empty() {
                    *lock(&self.0) = Some(page.clone());
                }
                Ok(page)
            }
        }
    }
}
