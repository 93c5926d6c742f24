//! HTTP, subscriptions, metrics.
