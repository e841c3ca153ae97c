//! What the commands print.

use std::io::Write;

use trunkline_domain::shorten;

/// An error with its causes, on standard error, one to a line.
pub(super) fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  caused by: {cause}"));
    }
    note(&text);
}

/// A remark on standard error.
pub(super) fn note(text: &str) {
    // Others' words can be among it. Nobody is left to tell when standard error is gone.
    let text = printable(text, Some('\n'));
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A result, on standard output. A reader that went away (`| head`) is no error.
pub(super) fn result(text: &str) -> anyhow::Result<()> {
    script(printable(text, Some('\n')).as_bytes())
}

/// A script, on standard output, byte for byte: it is our own, and no terminal reads it.
pub(super) fn script(script: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(script).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A result as JSON, on one line.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    result(&format!(
        "{}\n",
        printable_json(&serde_json::to_string(value)?)
    ))
}

/// A result as JSON that people edit.
pub(super) fn pretty_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    result(&format!("{}\n", printable_json(&text)))
}

/// Text of others on one line, without control characters.
pub(super) fn one_line(text: &str) -> String {
    printable(text, None)
}

/// JSON leaves the control characters beyond ASCII as they are; terminals obey them.
/// They stand in texts only.
fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Text that may have come from a row of the database, with its control
/// characters spelt out: they could move the cursor or recolour the terminal.
fn printable(text: &str, kept: Option<char>) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && Some(c) != kept {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The widest cell of a column that others stand behind, in characters: every row
/// is as wide. A replica's name has 128 at most.
const MAX_CELL_CHARS: usize = 128;

/// The longest cell at a line's end: a dozen problems of a row.
const MAX_LAST_CELL_CHARS: usize = 1_000;

/// Columns, each as wide as its widest cell; the last one ends where it ends.
/// What is too long is cut: a row of the database can hold anything.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let last = head.len().saturating_sub(1);
    let cell = |(column, text): (usize, &String)| {
        let limit = match column {
            column if column == last => MAX_LAST_CELL_CHARS,
            _ => MAX_CELL_CHARS,
        };
        // What is cut away need not be made printable first.
        let shown = printable(&shorten(text, limit), None);
        shorten(&shown, limit).into_owned()
    };
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().enumerate().map(cell).collect())
        .collect();
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(&rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_says_cannot_command_the_terminal() {
        let rows = vec![vec!["a\n\u{1b}[31m".to_owned()]];
        assert_eq!(table(&["TENANT"], &rows), "TENANT\na\\n\\u{1b}[31m\n");
        assert_eq!(printable("é\t\n", Some('\n')), "é\\t\n");
    }

    #[test]
    fn json_stays_json_whatever_its_texts_hold() {
        let value = serde_json::json!({ "a": "\u{9b}31m\u{7f}\n\u{1b}é" });
        let shown = printable_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.chars().all(|c| !c.is_control() || c == '\n'));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }

    #[test]
    fn a_row_of_any_length_leaves_a_table_that_can_be_read() {
        let long = "x".repeat(100_000);
        let rows = vec![
            vec![long.clone(), "parked".to_owned(), long],
            vec!["acme".to_owned(), "registered".to_owned(), String::new()],
        ];
        let text = table(&["TENANT", "STATE", "REASON"], &rows);
        assert!(text.len() < 2_000, "{} bytes", text.len());
        assert!(text.contains("x…  parked      x"), "{text}");
        assert!(text.contains("x…\nacme "), "{text}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["acme".to_owned(), "registered".to_owned(), String::new()],
            vec!["b".to_owned(), "parked".to_owned(), "why".to_owned()],
        ];
        assert_eq!(
            table(&["TENANT", "STATE", "REASON"], &rows),
            "TENANT  STATE       REASON\n\
             acme    registered\n\
             b       parked      why\n"
        );
    }
}
