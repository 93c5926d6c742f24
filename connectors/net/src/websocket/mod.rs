//! Both sides of the handshake, frames, and messages in them.

mod deflate;
mod frame;
mod handshake;
mod origin;
mod socket;

pub use handshake::{Offers, accept, request};
pub use socket::{Said, Socket};
