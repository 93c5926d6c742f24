//! The meta API: what can be asked about sessions, subscriptions and registrations, and what is told when they change.

mod events;
mod procedures;
mod registrations;
mod sessions;
mod subscriptions;
