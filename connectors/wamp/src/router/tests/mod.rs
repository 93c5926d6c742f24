//! Conversations with a router, without a network. Each is a text; see [`script`].

mod broker;
mod dealer;
mod history;
mod meta;
mod script;
mod session;
