//! The cryptography of TLS, ours and of those around us.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// What the process has chosen for TLS; before it has chosen, the choice made here.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let chosen = CryptoProvider::get_default().cloned();
    chosen.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// Makes a choice for the process where it has made none. Beside this engine the SDK's WebSocket
/// client may find two implementations in rustls, its own and ours, and then panics at the first
/// `wss://` where nobody has chosen. The SDK makes its factory before it dials.
pub(crate) fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // Where somebody else was faster, there is a choice as well.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_that_was_made_stays() {
        choose_provider();
        let chosen = provider();
        choose_provider();
        assert!(Arc::ptr_eq(&chosen, &provider()));
    }
}
