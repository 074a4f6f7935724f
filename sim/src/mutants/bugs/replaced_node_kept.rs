//! A connection to a node that was replaced stays open.

use redis::{ErrorKind, RedisError, ServerErrorKind, make_extension_error};

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct ReplacedNodeKept;

impl PlantedBug for ReplacedNodeKept {
    fn error(&self, error: RedisError) -> RedisError {
        match error.kind() {
            ErrorKind::Server(
                ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::ReadOnly,
            ) => {
                let code = error.code().unwrap_or_default().to_owned();
                make_extension_error(code, error.detail().map(ToOwned::to_owned))
            }
            _ => error,
        }
    }
}
