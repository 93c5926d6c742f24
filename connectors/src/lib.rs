//! Sources, sinks and gateways, one folder per protocol.
