//! The vendor's identifiers. Opaque, bounded, cheap to clone.

use std::fmt;
use std::sync::Arc;

/// The longest identifier that is taken from a vendor, in bytes. Theirs have
/// about 30.
pub(crate) const MAX_ID_BYTES: usize = 128;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as the vendor wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// `None` for what is empty or too long to be kept.
            pub(crate) fn read(text: &str) -> Option<Self> {
                (1..=MAX_ID_BYTES).contains(&text.len()).then(|| Self(text.into()))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One item of the conversation: something that the caller or the agent said.
    ItemId
);
id!(
    /// One answer of the model, from `ResponseStarted` to `ResponseDone`.
    ResponseId
);
