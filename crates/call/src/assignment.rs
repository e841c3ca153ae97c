//! What a worker hands to a call, and what a call tells its worker.

use domain::CallId;
use secrecy::SecretString;
use trunkline_domain as domain;
use url::Url;

/// A job that LiveKit assigned to us.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Our id of the call.
    pub call_id: CallId,
    /// LiveKit's id of the job, `AJ_…`.
    pub job_id: String,
    /// The room's name. It can hold a phone number.
    pub room: String,
    /// The participant token, of kind AGENT, good for one hour.
    pub token: SecretString,
    /// Where the room is: the assignment's URL, or the project's where that is empty.
    pub url: Url,
}

/// What LiveKit is told of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStatus {
    /// The call's task has started.
    Running,
    /// The call ended as calls end. To be told *before* we leave the room.
    Success,
    /// The call could not be served; a text for the project's owner, without personal data.
    Failed(String),
}

/// The way back to LiveKit's worker socket. Never blocks: with the socket away
/// the report is dropped, because the server has forgotten the job with it.
pub trait JobReporter: Send + Sync {
    /// Reports the status of a job.
    fn report(&self, job_id: &str, status: JobStatus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_token() {
        let assignment = Assignment {
            call_id: CallId::generate(),
            job_id: "AJ_1".to_owned(),
            room: "room".to_owned(),
            token: "eyJ-hunter2".into(),
            url: "wss://acme.example".parse().unwrap(),
        };
        let shown = format!("{assignment:?}");
        assert!(shown.contains("AJ_1"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
