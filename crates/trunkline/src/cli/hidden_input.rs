//! Lines that are typed at a terminal and not shown.
//!
//! The echo is off from before the first prompt to behind the last answer: what is
//! pasted or typed ahead would be shown in a gap between.

use std::io::{self, Write as _};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// More than any secret has; what is typed beyond is dropped, and told to be too long.
const MAX_CHARS: usize = 64 * 1024 + 1;

/// The terminal, until it is dropped.
pub(super) struct HiddenInput(());

impl HiddenInput {
    pub(super) fn begin() -> io::Result<Self> {
        enable_raw_mode()?;
        Ok(Self(()))
    }

    /// A line, without its end. Interrupted by Ctrl-C, or Ctrl-D at its beginning.
    pub(super) fn ask(&self, prompt: &str) -> io::Result<SecretString> {
        show(prompt)?;
        let mut line = Line::default();
        let ended = loop {
            if let Event::Key(key) = read()?
                && let Some(ended) = line.press(key)
            {
                break ended;
            }
        };
        show("\r\n")?;
        match ended {
            Ended::Done => Ok(line.text.as_str().into()),
            Ended::Interrupted => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // Nothing is left to do for a terminal that went away.
        let _ = disable_raw_mode();
    }
}

fn show(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Interrupted,
}

#[derive(Default)]
struct Line {
    text: Zeroizing<String>,
}

impl Line {
    /// Takes a key, as a terminal that edits lines does. `Some`: the line has ended.
    fn press(&mut self, key: KeyEvent) -> Option<Ended> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Some(Ended::Done),
            // A newline that was pasted.
            KeyCode::Char('j') if control => return Some(Ended::Done),
            KeyCode::Char('c') if control => return Some(Ended::Interrupted),
            KeyCode::Char('d') if control && self.text.is_empty() => {
                return Some(Ended::Interrupted);
            }
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Backspace => {
                self.text.pop();
            }
            KeyCode::Char(c) if !control && self.text.len() < MAX_CHARS => self.text.push(c),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(line: &mut Line, keys: &[(KeyCode, KeyModifiers)]) -> Option<Ended> {
        let mut keys = keys.iter();
        keys.find_map(|(code, modifiers)| line.press(KeyEvent::new(*code, *modifiers)))
    }

    #[test]
    fn a_line_can_be_mended_while_it_is_typed() {
        const NONE: KeyModifiers = KeyModifiers::NONE;
        const CONTROL: KeyModifiers = KeyModifiers::CONTROL;
        let mut line = Line::default();
        let keys = [
            (KeyCode::Char('x'), NONE),
            (KeyCode::Char('u'), CONTROL),
            (KeyCode::Char('A'), KeyModifiers::SHIFT),
            (KeyCode::Char('d'), CONTROL),
            (KeyCode::Left, NONE),
            (KeyCode::Char('é'), NONE),
            (KeyCode::Char('z'), NONE),
            (KeyCode::Backspace, NONE),
            (KeyCode::Enter, NONE),
        ];
        assert_eq!(press(&mut line, &keys), Some(Ended::Done));
        assert_eq!(line.text.as_str(), "Aé");
        for key in ['c', 'd'] {
            let interrupted = press(&mut Line::default(), &[(KeyCode::Char(key), CONTROL)]);
            assert_eq!(interrupted, Some(Ended::Interrupted));
        }
    }
}
