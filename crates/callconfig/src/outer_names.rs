//! Names that are resolved to addresses of the outside only: what is found out after a
//! URL was written, as its name comes to lead inside, is found out here.

use std::error::Error;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use trunkline_domain::is_inner;

/// Resolves as the system does, and leaves out what is of the inside.
pub(crate) struct OuterNames;

/// A name has no address but internal ones.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to internal addresses only")]
struct Internal;

impl Resolve for OuterNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is set by who connects.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses = outer(found.collect())?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn outer(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Internal> {
    let was_found = !found.is_empty();
    let outer = found.into_iter().filter(|address| !is_inner(address.ip()));
    let outer: Vec<SocketAddr> = outer.collect();
    if outer.is_empty() && was_found {
        return Err(Internal);
    }
    Ok(outer)
}

/// Whether a request failed because of that.
pub(crate) fn is_internal(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<Internal>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_addresses_those_of_the_outside_are_left() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let mixed = outer(vec![at("10.0.0.1"), at("192.0.2.1")]).unwrap();
        assert_eq!(mixed, [at("192.0.2.1")]);
        assert!(outer(vec![at("::1"), at("127.0.0.1")]).is_err());
        assert_eq!(outer(Vec::new()).unwrap(), []);
    }

    #[tokio::test]
    async fn a_request_to_a_name_that_comes_to_lead_inside_is_told_as_such() {
        static PROVIDER: std::sync::Once = std::sync::Once::new();
        PROVIDER.call_once(|| {
            // Whoever was first has installed one.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        });
        let client = reqwest::Client::builder().no_proxy();
        let client = client.dns_resolver(OuterNames).build().unwrap();
        // Every machine knows this name, whatever it is called in the URL.
        let error = client.get("http://localhost:9/").send().await.unwrap_err();
        assert!(is_internal(&error), "{error:?}");
    }
}
