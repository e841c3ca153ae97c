//! Real servers and simulated peers: for tests, the demo and the benchmarks.

pub mod backend;
pub mod bed;
mod cache;
pub mod caller;
pub mod chromium;
pub mod livekit;
pub mod log;
pub mod model;
pub mod netlab;
pub mod peer;
mod ports;
pub mod postgres;
pub mod private_file;
mod process;
pub mod product;
mod program;
pub mod proxy;
pub mod sdk;
pub mod voice;
pub mod worker_endpoint;

/// Installs the process's TLS provider, which the product's binary does as its
/// first act. Does nothing when there is one.
pub fn install_crypto() {
    // An error means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
