//! What TLS towards TURN servers trusts.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

use crate::crypto;

/// The roots of this system (or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`), read once, when the
/// first TLS connection needs them. Blocks for some 10 ms the first time.
pub(super) fn config() -> Result<Arc<ClientConfig>, &'static str> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, &'static str>> = OnceLock::new();
    CONFIG.get_or_init(load).clone()
}

fn load() -> Result<Arc<ClientConfig>, &'static str> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("root certificates: {error}");
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("this system has no root certificates");
    }
    let config = ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| "the crypto library speaks no version of TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
