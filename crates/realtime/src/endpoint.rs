//! Where a model is.

use secrecy::SecretString;
use trunkline_domain::ProviderKind;
use url::Url;

/// Where a model is, and how to prove that we may use it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The wire.
    pub kind: ProviderKind,
    /// For instance `https://api.openai.com/v1`; `wss`, `http` and `ws` as well.
    pub base_url: Url,
    /// Sent as `Authorization: Bearer …`.
    pub api_key: SecretString,
}
