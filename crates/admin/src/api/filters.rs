//! What is looked for by: a value that nothing can have is a mistake, and an empty list
//! would hide it.

use std::fmt::Display;

use chrono::{DateTime, Datelike as _, Utc};

use super::problem::{FieldProblem, Problem};

/// The years that a moment can be of: those that are written with four digits. The
/// database knows fewer of the others than we do.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;

/// One of a few names, where one is asked for.
pub(crate) fn known<N: Display>(
    parameter: &str,
    asked: Option<&str>,
    names: impl IntoIterator<Item = N>,
) -> Result<(), Problem> {
    let Some(asked) = asked else { return Ok(()) };
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.iter().any(|name| name == asked) {
        return Ok(());
    }
    Err(Problem::invalid(vec![FieldProblem::new(
        parameter,
        "is not one that there is",
        format!("it must be one of {}", names.join(", ")),
    )]))
}

/// A moment that the database can hold.
pub(crate) fn moment(parameter: &str, at: Option<DateTime<Utc>>) -> Result<(), Problem> {
    if at.is_none_or(|at| YEARS.contains(&at.year())) {
        return Ok(());
    }
    Err(Problem::invalid(vec![FieldProblem::new(
        parameter,
        "is too far away",
        format!(
            "it must be of the years {} to {}",
            YEARS.start(),
            YEARS.end()
        ),
    )]))
}
