//! The binary at a terminal, with a person's echo.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use portable_pty::{
    ChildKiller, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system,
};

use crate::bed::{BINARY, Bed, KEYS, SOON};

/// As wide as the longest error, so that no line is broken.
const SIZE: PtySize = PtySize {
    rows: 30,
    cols: 200,
    pixel_width: 0,
    pixel_height: 0,
};

pub(crate) struct Terminal {
    killer: Box<dyn ChildKiller + Send + Sync>,
    pid: u32,
    exit: mpsc::Receiver<ExitStatus>,
    has_ended: bool,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    output: Arc<(Mutex<Output>, Condvar)>,
}

/// What the program wrote.
struct Output {
    all: String,
    screen: vt100::Parser,
}

impl Terminal {
    pub(crate) fn run(bed: &Bed, arguments: &[&str]) -> Self {
        Self::run_with(bed, arguments, &[])
    }

    pub(crate) fn run_with(bed: &Bed, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let pty = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(BINARY);
        command.env_clear();
        command.env("TERM", "xterm");
        command.env("TRUNKLINE_DATABASE__URL", &bed.url);
        command.env("TRUNKLINE_SEALING__KEYS", KEYS);
        for (name, value) in variables {
            command.env(name, value);
        }
        command.args(arguments);
        let mut child = pty.slave.spawn_command(command).unwrap();
        // Ours would keep the terminal open when the program has gone.
        drop(pty.slave);
        let output = Output {
            all: String::new(),
            screen: screen(SIZE),
        };
        let output = Arc::new((Mutex::new(output), Condvar::new()));
        let mut reader = pty.master.try_clone_reader().unwrap();
        std::thread::spawn({
            let output = Arc::clone(&output);
            move || {
                let mut buffer = [0; 4096];
                // At its end Linux gives an error.
                while let Ok(read @ 1..) = reader.read(&mut buffer) {
                    let (written, changed) = &*output;
                    let mut output = written.lock();
                    output.screen.process(&buffer[..read]);
                    let text = String::from_utf8_lossy(&buffer[..read]);
                    output.all.push_str(&text);
                    changed.notify_all();
                }
            }
        });
        let (ended, exit) = mpsc::channel();
        let (killer, pid) = (child.clone_killer(), child.process_id().unwrap());
        std::thread::spawn(move || {
            // Nobody waits for it any more, when a test has failed.
            let _ = ended.send(child.wait().unwrap());
        });
        Self {
            killer,
            pid,
            exit,
            has_ended: false,
            keyboard: pty.master.take_writer().unwrap(),
            master: pty.master,
            output,
        }
    }

    /// Everything that was written so far, and what is on the screen now.
    pub(crate) fn written(&self) -> String {
        let output = self.output.0.lock();
        format!("{}\n{}", output.all, output.screen.screen().contents())
    }

    /// Waits until this is on the screen.
    pub(crate) fn shows(&self, text: &str) {
        self.reaches(text, |screen| screen.contents().contains(text));
    }

    /// Waits until a program that drew on a screen of its own has given back the one
    /// that was there before.
    pub(crate) fn is_given_back(&self) {
        self.reaches("the screen before", |screen| !screen.alternate_screen());
    }

    pub(crate) fn is_drawn_on(&self) -> bool {
        self.output.0.lock().screen.screen().alternate_screen()
    }

    fn reaches(&self, what: &str, is_there: impl Fn(&vt100::Screen) -> bool) {
        let until = Instant::now() + SOON;
        let (written, changed) = &*self.output;
        let mut output = written.lock();
        while !is_there(output.screen.screen()) {
            let waited = changed.wait_until(&mut output, until);
            assert!(
                !waited.timed_out(),
                "{what:?} is not on the screen\n{}\n{}",
                output.all,
                output.screen.screen().contents()
            );
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, cols: u16) {
        let size = PtySize { rows, cols, ..SIZE };
        let (height, width) = cells(size);
        let mut output = self.output.0.lock();
        output.screen.screen_mut().set_size(height, width);
        drop(output);
        self.master.resize(size).unwrap();
    }

    /// Both before the program, which stands still meanwhile, can see one of them.
    pub(crate) fn resize_and_type(&mut self, rows: u16, cols: u16, keys: &str) {
        self.signal("-STOP");
        self.resize(rows, cols);
        self.types(keys);
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let exit = self.exit.recv_timeout(SOON);
        self.has_ended = exit.is_ok();
        exit.unwrap_or_else(|_| panic!("it goes on\n{}", self.written()))
    }
}

fn screen(size: PtySize) -> vt100::Parser {
    let (rows, cols) = cells(size);
    vt100::Parser::new(rows, cols, 0)
}

fn cells(size: PtySize) -> (NonZero<u16>, NonZero<u16>) {
    let cells = |n| NonZero::new(n).unwrap();
    (cells(size.rows), cells(size.cols))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.has_ended {
            // It may have ended just now.
            let _ = self.killer.kill();
        }
    }
}
