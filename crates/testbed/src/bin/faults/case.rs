//! One cell of the matrix: where something fails, how, and when.

use std::fmt;
use std::time::Duration;

use trunkline_testbed::backend::Reply;
use trunkline_testbed::model::{Behaviour, Injection};

use crate::matrix;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Backend,
    /// The model, while the phone rings or the agent greets.
    ModelBefore,
    /// The model, when it has a question to answer.
    ModelInCall,
    /// The same, and the session that takes its place fails as well.
    SecondSession,
    Room,
    Database,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Backend => "backend",
            Self::ModelBefore => "model, before the answer",
            Self::ModelInCall => "model, in the call",
            Self::SecondSession => "second session too",
            Self::Room => "room",
            Self::Database => "database",
        })
    }
}

/// What is done to a call that was answered.
#[derive(Clone, Debug)]
pub(crate) enum Strike {
    /// New sessions of the model go like this from now on.
    NewSessions(Behaviour),
    /// The model's socket.
    Model(Injection),
    /// The worker's socket, and it may not come back.
    CutWorker,
    /// The connection to the room, which is resumed.
    CutRoom,
    /// The same, with the resumption refused: the room is joined anew.
    RejoinRoom,
    /// The same, with everything refused from now on.
    LoseRoom,
    /// livekit-server is killed and started again.
    RestartServer,
    /// livekit-server stands still, with all its connections open.
    FreezeServer(Duration),
    /// The database is stopped.
    StopDatabase,
}

/// When it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the phone rings.
    Before,
    /// After the greeting, before the question.
    Quiet,
    /// In the middle of the answer.
    Answering,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) part: Part,
    pub(crate) fault: &'static str,
    /// What the backend does; `None`: it answers well.
    pub(crate) backend: Option<Reply>,
    /// Whether anybody listens where the backend is said to be.
    pub(crate) backend_listens: bool,
    pub(crate) model: Behaviour,
    pub(crate) strike: Option<(Moment, Strike)>,
}

impl Case {
    pub(crate) fn new(part: Part, fault: &'static str) -> Self {
        Self {
            part,
            fault,
            backend: None,
            backend_listens: true,
            model: matrix::working(),
            strike: None,
        }
    }

    pub(crate) fn backend(mut self, reply: Reply) -> Self {
        self.backend = Some(reply);
        self
    }

    pub(crate) fn nobody_at_the_backend(mut self) -> Self {
        self.backend_listens = false;
        self
    }

    pub(crate) fn model(mut self, behaviour: Behaviour) -> Self {
        self.model = behaviour;
        self
    }

    pub(crate) fn strike(mut self, moment: Moment, strike: Strike) -> Self {
        self.strike = Some((moment, strike));
        self
    }

    /// The strike of this moment, if it is due then.
    pub(crate) fn strike_at(&self, moment: Moment) -> Option<&Strike> {
        let (when, strike) = self.strike.as_ref()?;
        (*when == moment).then_some(strike)
    }

    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.part, self.fault)
    }
}
