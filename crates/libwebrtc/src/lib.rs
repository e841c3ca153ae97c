//! A pure-Rust drop-in.
