//! Does the model's vendor take the key, and the model the configuration?

use std::time::{Duration, Instant};

use tokio::time::timeout;
use trunkline_domain::{CallConfig, chain};
use trunkline_realtime::{
    Command, ConnectError, Endpoint, Event, Pool, Session, SessionConfig, Trouble, VendorError,
};

use super::report::{Check, CheckName};

const NAME: CheckName = CheckName::Model;
/// A configuration is acknowledged in one round trip.
const CONFIGURE_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn check(models: &Pool, endpoint: Option<Endpoint>, config: &CallConfig) -> Check {
    let Some(endpoint) = endpoint else {
        return Check::failed(
            NAME,
            "there is no key for the model: callers hear the apology",
            "set the row's provider_api_key, or provider.api_key of the process. On another \
             machine than the replicas', the process's key may only be missing here",
        );
    };
    let started = Instant::now();
    let mut session = match models.connect_anew(&endpoint, &config.model).await {
        Ok(session) => session,
        Err(error) => return not_opened(&error, &config.model),
    };
    // Refusals follow as events.
    let _ = session.send(Command::Configure(SessionConfig::for_call(config)));
    let answer = timeout(CONFIGURE_LIMIT, configured(&mut session)).await;
    let took_ms = started.elapsed().as_millis();
    session.close().await;
    let model = &config.model;
    match answer {
        Ok(Ok(dropped)) if dropped.is_empty() => Check::ok(
            NAME,
            format!("{model} takes the key and the configuration, in {took_ms} ms"),
        ),
        Ok(Ok(dropped)) => Check::warning(
            NAME,
            format!("{model} does not take: {}", dropped.join(", ")),
            "calls run without it; take it out of the configuration, or use another model",
        ),
        Ok(Err(problem)) => Check::failed(
            NAME,
            format!("{model} refuses the configuration: {problem}"),
            "mend what it names in the backend's answer or in default_config",
        ),
        Err(_) => Check::failed(
            NAME,
            format!(
                "{model} does not answer a configuration within {} s",
                CONFIGURE_LIMIT.as_secs()
            ),
            "look at the vendor's status page",
        ),
    }
}

/// What of the configuration is left out, or why all of it is refused.
async fn configured(session: &mut Session) -> Result<Vec<&'static str>, String> {
    loop {
        match session.next().await {
            Event::Ready { dropped } => return Ok(dropped),
            Event::Refused(error) => return Err(error.to_string()),
            Event::Closed(reason) => return Err(chain(&reason).to_string()),
            _ => {}
        }
    }
}

fn not_opened(error: &ConnectError, model: &str) -> Check {
    let remedy = match error {
        ConnectError::Endpoint { .. } => "check provider_base_url and provider_api_key",
        ConnectError::Unreachable(_) | ConnectError::TimedOut { .. } => {
            "check provider_base_url, and that it can be reached from this machine"
        }
        ConnectError::Refused {
            error: VendorError { trouble, .. },
            ..
        } => match trouble {
            Trouble::Credentials => "set a valid provider_api_key (or provider.api_key)",
            Trouble::Quota => "the account with the vendor has no money or quota left: add some",
            Trouble::Invalid => "check the configuration's model: does the vendor have it?",
            Trouble::Garbage => "check provider_base_url: what answers there is no such model",
            Trouble::Overload | Trouble::Server | Trouble::Expired | Trouble::Other => {
                "try again; where it lasts, look at the vendor's status page"
            }
        },
        ConnectError::Closed(_) => "try again; where it lasts, look at the vendor's status page",
    };
    Check::failed(NAME, format!("{model}: {}", chain(error)), remedy)
}
