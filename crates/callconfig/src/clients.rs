//! The HTTP clients: one for URLs that an operator wrote, one for those that a token of a
//! tenant alone wrote, which lead outside only.

use reqwest::{Client, ClientBuilder};
use trunkline_domain::{Reach, leads_inside};
use url::Url;

use crate::addresses::{PrivateAddresses, Resolver, check_literal};
use crate::{FallbackReason, Options};

/// Whether backends of the inside are asked, when the URL may lead to the outside only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InnerUrls {
    Refused,
    Asked,
}

/// Both. Cheap to clone: connections are shared.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    anywhere: Client,
    outside: Client,
    private: PrivateAddresses,
    inner: InnerUrls,
}

impl Clients {
    pub(crate) fn new(options: &Options) -> Result<Self, reqwest::Error> {
        let private = options.private_addresses();
        Ok(Self {
            anywhere: client(options, private).build()?,
            outside: client(options, PrivateAddresses::Refused).build()?,
            private,
            inner: InnerUrls::Refused,
        })
    }

    /// The same, where every URL may lead where an operator's may.
    pub(crate) fn with_inner_urls(self) -> Self {
        Self {
            outside: self.anywhere.clone(),
            inner: InnerUrls::Asked,
            ..self
        }
    }

    /// The client that goes no further than it may. Names are looked at as they are
    /// resolved; an address is not resolved, and is looked at here.
    pub(crate) fn of(&self, reach: Reach, url: &Url) -> Result<&Client, FallbackReason> {
        check_literal(url, self.private).map_err(FallbackReason::Address)?;
        match reach {
            Reach::Anywhere => Ok(&self.anywhere),
            Reach::Outside if self.inner == InnerUrls::Refused && leads_inside(url) => {
                Err(FallbackReason::Internal)
            }
            Reach::Outside => Ok(&self.outside),
        }
    }
}

fn client(options: &Options, private: PrivateAddresses) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
        // A redirect could lead the bearer token and the caller anywhere.
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Resolver(private))
        .connect_timeout(options.connect_timeout())
        .pool_idle_timeout(options.idle_timeout())
        .pool_max_idle_per_host(options.idle_connections as usize)
}
