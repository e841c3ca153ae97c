//! Where a model is.

use secrecy::SecretString;
use trunkline_domain::ProviderKind;
use url::Url;

use crate::ConnectError;

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

impl Endpoint {
    /// The WebSocket's address for a model.
    pub(crate) fn socket_url(&self, model: &str) -> Result<Url, ConnectError> {
        let unusable = |problem| ConnectError::Endpoint { problem };
        let mut url = self.base_url.clone();
        let scheme = match url.scheme() {
            "https" | "wss" => "wss",
            "http" | "ws" => "ws",
            _ => return Err(unusable("its scheme is not https, http, wss or ws")),
        };
        url.set_scheme(scheme)
            .map_err(|()| unusable("its scheme cannot be changed to a WebSocket's"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it holds a user name or password"));
        }
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/');
        let path = match path.ends_with("/realtime") {
            true => path.to_owned(),
            false => format!("{path}/realtime"),
        };
        url.set_path(&path);
        url.query_pairs_mut().append_pair("model", model);
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_key() {
        let endpoint = Endpoint {
            kind: ProviderKind::OpenAi,
            base_url: "https://model.example/v1".parse().unwrap(),
            api_key: "sk-hunter2".into(),
        };
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("model.example"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    fn socket_url(base: &str, model: &str) -> String {
        let endpoint = Endpoint {
            kind: ProviderKind::OpenAi,
            base_url: base.parse().unwrap(),
            api_key: "key".into(),
        };
        match endpoint.socket_url(model) {
            Ok(url) => url.into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_spelling_of_a_base_leads_to_the_socket() {
        let wanted = "wss://api.openai.com/v1/realtime?model=gpt-realtime";
        for base in [
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/",
            "wss://api.openai.com/v1",
            "wss://api.openai.com/v1/realtime",
            "https://api.openai.com/v1/realtime/#top",
        ] {
            assert_eq!(socket_url(base, "gpt-realtime"), wanted, "{base}");
        }
        assert_eq!(
            socket_url("http://127.0.0.1:8080?v=1", "a b&c"),
            "ws://127.0.0.1:8080/realtime?v=1&model=a+b%26c"
        );
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_repeating_it() {
        for base in ["ftp://h/", "https://user:hunter2@h/"] {
            let text = socket_url(base, "m");
            assert!(text.starts_with("the endpoint cannot be used"), "{text}");
            assert!(!text.contains("hunter2"));
        }
    }
}
