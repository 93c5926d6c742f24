//! What can go wrong between a client and a broker.

use crate::wire::{ConnectReasonCode, SubackReasonCode};

/// What can go wrong between a client and a broker.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// There is no connection, or no more.
    #[error("{0}")]
    Gone(String),
    /// The broker has ended the connection.
    #[error("{0}")]
    HungUp(String),
    /// The broker does not let the client in.
    #[error("the broker says {0}")]
    NotLetIn(ConnectReasonCode),
    /// The broker does not let the client have these messages.
    #[error("the broker says {0}")]
    NotSubscribed(SubackReasonCode),
}

impl ClientError {
    /// Whether it may be otherwise later without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        use ConnectReasonCode as Reason;
        match self {
            Self::Gone(_) | Self::HungUp(_) => true,
            Self::NotLetIn(reason) => matches!(
                reason,
                Reason::ServerUnavailable
                    | Reason::ServerBusy
                    | Reason::QuotaExceeded
                    | Reason::ConnectionRateExceeded
                    | Reason::UnspecifiedError
            ),
            Self::NotSubscribed(reason) => {
                matches!(
                    reason,
                    SubackReasonCode::QuotaExceeded | SubackReasonCode::ImplementationSpecificError
                )
            }
        }
    }
}
