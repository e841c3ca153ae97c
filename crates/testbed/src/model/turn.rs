//! What the model is asked at its turn, and what its script answers.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::behaviour::ResponseFault;
use super::directive::exact_words;
use super::item::Role;

/// All that a model knows when it is its turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// How many responses there were before this one in the session.
    pub number: usize,
    /// The model asked for when the session was opened.
    pub model: String,
    /// The voice of the session.
    pub voice: String,
    /// The session's system prompt.
    pub instructions: String,
    /// The instructions of this response, if it has its own.
    pub response_instructions: Option<String>,
    /// The metadata of the `response.create`; null where the turn was taken without one.
    pub metadata: Value,
    /// What the user said or wrote last; empty if nothing since the model's last words.
    pub user: String,
    /// All that was said before, by whom. What was cut off by a truncation is not in it.
    pub history: Vec<(Role, String)>,
    /// The result of a function call, if the last item is one.
    pub function_output: Option<String>,
    /// The names of the functions that may be called.
    pub functions: Vec<String>,
}

impl Turn {
    /// The words that the instructions order to be said exactly. A session's order is for its first
    /// response.
    #[must_use]
    pub fn ordered_words(&self) -> Option<String> {
        match &self.response_instructions {
            Some(instructions) => exact_words(instructions),
            None if self.number == 0 => exact_words(&self.instructions),
            None => None,
        }
    }
}

/// A function that the model calls.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// Its arguments, sent as JSON text.
    pub arguments: Value,
}

/// What the model does at its turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// What it says, if anything.
    pub words: Option<String>,
    /// What it calls, after it has spoken.
    pub calls: Vec<FunctionCall>,
    /// What goes wrong meanwhile.
    pub fault: Option<ResponseFault>,
}

impl Reply {
    /// Says `words`.
    #[must_use]
    pub fn say(words: impl Into<String>) -> Self {
        Self {
            words: Some(words.into()),
            ..Self::default()
        }
    }

    /// Calls a function, without a word.
    #[must_use]
    pub fn call(name: impl Into<String>, arguments: Value) -> Self {
        Self::default().and_call(name, arguments)
    }

    /// Calls a function, too.
    #[must_use]
    pub fn and_call(mut self, name: impl Into<String>, arguments: Value) -> Self {
        self.calls.push(FunctionCall {
            name: name.into(),
            arguments,
        });
        self
    }

    /// Fails in this way.
    #[must_use]
    pub fn but(mut self, fault: ResponseFault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The reply of a model without a script: the words ordered, or else what it has understood.
    #[must_use]
    pub fn obedient(turn: &Turn) -> Self {
        Self::say(
            turn.ordered_words()
                .unwrap_or_else(|| match &turn.function_output {
                    Some(output) => format!("The result is {output}"),
                    None => format!("You said: {}", turn.user),
                }),
        )
    }
}

/// Answers turns.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&Turn) -> Reply + Send + Sync>);

impl Script {
    /// A script that answers as `answer` does. [`Reply::obedient`] is there to fall back on.
    pub fn new(answer: impl Fn(&Turn) -> Reply + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    pub(super) fn answer(&self, turn: &Turn) -> Reply {
        (self.0)(turn)
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new(Reply::obedient)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}
