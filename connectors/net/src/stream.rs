//! What bytes come from and go to: TCP, with TLS or without.

use tokio::io::{AsyncRead, AsyncWrite};

/// What bytes come from and go to.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
