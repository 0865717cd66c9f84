//! An approval that was kept, read again.

use pawl_proto::local::PairRequest;
use pawl_proto::message::{Known, Statement};

use super::{PairingError, Progress};
use crate::approval;
use crate::store::Approved;

impl Approved {
    /// What was approved.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn statement(&self) -> Result<Statement, PairingError> {
        Ok(self.answer.statement.decode()?)
    }

    /// The session, as it stands once its approval is acted on.
    pub(crate) fn progress(&self, statement: &Statement) -> Progress {
        Progress::resumed(
            statement.session,
            approval::asked(&self.answer.statement, statement, &Known::default()),
        )
    }

    /// What has to be asked for again, if nothing comes of this approval.
    pub(crate) fn again(statement: &Statement) -> PairRequest {
        PairRequest {
            reason: statement.reason.clone(),
            scopes: statement.scopes.clone(),
            ..PairRequest::default()
        }
    }
}
