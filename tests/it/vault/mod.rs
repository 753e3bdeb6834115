//! The Vault store against a scripted server.
