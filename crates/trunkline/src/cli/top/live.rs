//! The loop: asks, draws, and reads keys, until told to stop.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::client::Client;
use super::picture::Picture;
use super::screen;
use super::view::{View, Wish};

/// Between the end of an answer and the next question.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two drawings when nothing happens: for how long the API is away.
const DRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Gives the terminal back, however the loop ends. A panic is seen to by ratatui's own
/// hook, before its text is written.
struct Terminal(ratatui::DefaultTerminal);

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub(super) async fn run(client: &Client) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup()).context("signals cannot be read")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be read")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be read")?;
    let terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let mut terminal = Terminal(terminal);
    let address = client.address();
    let mut view = View::new();
    let mut keys = EventStream::new();
    let mut redraw = tokio::time::interval(DRAW_INTERVAL);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut coming = Box::pin(picture_at(client, Instant::now()));
    loop {
        terminal
            .0
            .draw(|frame| screen::draw(frame, &mut view, &address, Utc::now()))
            .context("the terminal cannot be drawn on")?;
        tokio::select! {
            answer = &mut coming => {
                view.take(answer, Utc::now());
                coming.set(picture_at(client, Instant::now() + ASK_INTERVAL));
            }
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) => {
                    if view.press(key) == Wish::Quit {
                        return Ok(());
                    }
                }
                // Another size: it is drawn anew.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error).context("the keys cannot be read"),
                None => return Ok(()),
            },
            _ = redraw.tick() => {}
            _ = hang_up.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

async fn picture_at(client: &Client, at: Instant) -> anyhow::Result<Picture> {
    tokio::time::sleep_until(at).await;
    client.picture().await
}
