//! The files that the log writer makes: where they are, and reading them.
//!
//! A container's log is `DATA_DIR/logs/TASK/CONTAINER.log`; older files are `….log.1` and so on. Beside it stands the
//! writer's options file.

#[cfg(test)]
mod fuzz;
mod paths;
mod position;
mod reader;

use std::pin::Pin;

use futures_util::Stream;
use longshore_protocol::json_file::Record;

/// Records as they come.
pub type Records = Pin<Box<dyn Stream<Item = Record> + Send>>;

pub use paths::{Logs, PathsError};
pub use reader::{LogError, ReadOptions, read};
