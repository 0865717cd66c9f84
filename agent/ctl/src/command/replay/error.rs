//! Why a log was not replayed.

use std::io;
use std::path::PathBuf;

use pawl_evidence::eventlog::EventLogError;
use pawl_evidence::ima::ImaError;
use pawl_evidence::measure_log::MeasureLogError;

use crate::exit::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong { path: PathBuf, limit: usize },
    #[error("{}: {source}", path.display())]
    BootLog { path: PathBuf, source: EventLogError },
    #[error("{}: {source}", path.display())]
    MeasureLog { path: PathBuf, source: MeasureLogError },
    #[error("{}: {source}", path.display())]
    ImaLog { path: PathBuf, source: ImaError },
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        let (name, remedy) = match &error {
            ReplayError::Read { .. } => ("not-read", "use a file that this user can read"),
            ReplayError::TooLong { .. } => {
                ("too-long", "check the file's name: this is not a measurement log")
            }
            ReplayError::BootLog { .. } => ("boot-log", "use a complete binary_bios_measurements"),
            ReplayError::MeasureLog { .. } => ("measure-log", "use a complete tpm2-measure.log"),
            ReplayError::ImaLog { .. } => ("ima-log", "use a complete binary_runtime_measurements"),
        };
        Self::new(Exit::Failed, name, error, remedy)
    }
}
