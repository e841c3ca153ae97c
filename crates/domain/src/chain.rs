//! Errors in one line.

/// An error with all its sources, in one line. For records and for logs, of which the JSON form
/// shows an error's own message alone.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
