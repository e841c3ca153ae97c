//! The one task of a connection: it moves packets, keeps time and delivers events.
//!
//! A turn takes the lock once, lets everything happen that can, and leaves with the datagrams and
//! events that came of it. Encoding, decoding, sending and callbacks happen without the lock.

use std::{
    collections::VecDeque,
    future,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    PeerShared,
    engine::EngineOutput,
    handlers::Event,
    network::{Departure, Network},
    pipelines::Pipelines,
    state::State,
};
use crate::peer_connection::PeerConnectionState;

/// How long the farewell may take: one exchange on any path that still works.
const FAREWELL: Duration = Duration::from_millis(300);

/// Longest sleep. Timers far away are looked at again; the clock's range need not be known.
const MAX_SLEEP: Duration = Duration::from_secs(3_600);

/// Starts the driver. It ends after the connection is closed; [`Exit`] sees to every other end.
pub(super) fn spawn(runtime: &Handle, shared: Arc<PeerShared>) {
    runtime.spawn(async move {
        let mut exit = Exit {
            shared: Arc::clone(&shared),
            is_expected: false,
        };
        Driver::new(shared).run().await;
        exit.is_expected = true;
    });
}

/// Leaves a connection that says so where its driver dies.
struct Exit {
    shared: Arc<PeerShared>,
    is_expected: bool,
}

impl Drop for Exit {
    fn drop(&mut self) {
        if self.is_expected {
            return;
        }
        if thread::panicking() {
            log::error!("the driver of a connection has died; the connection fails");
        } else {
            log::debug!("the runtime of a connection has ended; the connection fails");
        }
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        state.engine = None;
        state.liveness.broken(now);
        state.report_liveness();
        let events = std::mem::take(&mut state.events);
        drop(state);
        for event in events {
            // What killed the driver may have been a callback. A second one that panics while the
            // first is being unwound would end the process.
            let deliver = || event.deliver(&self.shared.handlers);
            if panic::catch_unwind(AssertUnwindSafe(deliver)).is_err() {
                log::error!("a callback has panicked; others go on");
            }
        }
    }
}

struct Driver {
    shared: Arc<PeerShared>,
    pipelines: Pipelines,
    network: Network,
    /// How often candidates had been looked for when `network` last was.
    gatherings: u64,
    /// What the turn has to send. Kept for its room.
    departures: Vec<Departure>,
    /// When to stop saying goodbye.
    farewell: Option<Instant>,
}

/// What came of a turn.
#[derive(Default)]
struct Turn {
    events: VecDeque<Event>,
    /// When the transport wants the next one.
    due: Option<Instant>,
    can_send: bool,
    is_over: bool,
}

impl Driver {
    fn new(shared: Arc<PeerShared>) -> Self {
        Self {
            shared,
            pipelines: Pipelines::default(),
            network: Network::default(),
            gatherings: 0,
            departures: Vec::new(),
            farewell: None,
        }
    }

    async fn run(mut self) {
        let mut can_send = false;
        loop {
            self.pipelines.sync(&self.shared);
            if can_send {
                self.send_audio(Instant::now());
            }
            self.pipelines.play(Instant::now());
            let turn = self.turn();
            can_send = turn.can_send;
            self.network.send(Instant::now(), &self.departures);
            self.departures.clear();
            let had_events = !turn.events.is_empty();
            for event in turn.events {
                event.deliver(&self.shared.handlers);
            }
            if turn.is_over {
                self.network.close(Instant::now());
                return;
            }
            if had_events {
                // Callbacks take their time and may have changed what is due.
                tokio::task::yield_now().await;
                continue;
            }
            let due = turn
                .due
                .into_iter()
                .chain(self.pipelines.due(can_send))
                .chain(self.network.due())
                .min();
            self.wait(due).await;
        }
    }

    /// Waits for a datagram, an alarm, or `due`.
    async fn wait(&mut self, due: Option<Instant>) {
        // Taken apart so that the future borrows no encoder, which is not `Sync`.
        let Self {
            network, shared, ..
        } = self;
        let ready = future::poll_fn(|cx| network.poll_ready(cx));
        let latest = Instant::now() + MAX_SLEEP;
        let until = due.map_or(latest, |due| due.min(latest));
        tokio::select! {
            () = ready => {}
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Encodes without the lock and hands over with it.
    fn send_audio(&mut self, now: Instant) {
        let state = &self.shared.state;
        self.pipelines.send(now, |header, frame| {
            if let Some(engine) = &mut state.lock().engine {
                engine.write_rtp(now, header, frame);
            }
        });
    }

    fn turn(&mut self) -> Turn {
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.state.lock();
        let state = &mut *guard;
        let now = Instant::now();
        let mut turn = Turn::default();
        self.network.tick(now, state.liveness.is_path_up());
        self.sync_network(state, now);
        state.say_goodbye();
        self.pump(state, now, &mut turn);
        self.receive(state, now, &mut turn);
        if state.advance_channels() {
            self.pump(state, now, &mut turn);
        }
        state.liveness.tick(now);
        if state.is_closed() {
            turn.is_over = self.is_farewell_over(state, now);
            turn.due = turn.due.into_iter().chain(self.farewell).min();
        } else {
            state.report_liveness();
            turn.due = turn.due.into_iter().chain(state.liveness.due()).min();
        }
        let connection = state.liveness.state();
        turn.can_send = matches!(
            connection,
            PeerConnectionState::Connected | PeerConnectionState::Disconnected
        );
        turn.events = std::mem::take(&mut state.events);
        turn
    }

    /// Takes what is asked of the network, and hands over what it has found out.
    fn sync_network(&mut self, state: &mut State, now: Instant) {
        if self.gatherings != state.gatherings && !state.is_closed() {
            self.gatherings = state.gatherings;
            self.network.gather(now, state.gathering_plan());
        }
        for dial in state.dials.drain(..) {
            self.network.stand_by(now, dial);
        }
        for found in self.network.take_found() {
            if !state.is_closed() {
                state.on_found(found);
            }
        }
    }

    /// Moves time forward and takes everything that the transport has to give.
    fn pump(&mut self, state: &mut State, now: Instant, turn: &mut Turn) {
        if let Some(engine) = &mut state.engine {
            engine.tick(now);
        }
        drain(state, now, &mut self.departures, turn);
    }

    /// Reads what has come.
    fn receive(&mut self, state: &mut State, now: Instant, turn: &mut Turn) {
        let Self {
            network,
            departures,
            ..
        } = self;
        let is_more = network.receive(now, &mut |arrival| {
            if let Some(engine) = &mut state.engine
                && engine.receive(now, &arrival)
            {
                state.liveness.heard(now);
            }
            drain(state, now, departures, turn);
        });
        if is_more {
            // Look again at once.
            turn.due = Some(now);
        }
    }

    /// Whether everything has been said, or time is up.
    fn is_farewell_over(&mut self, state: &mut State, now: Instant) -> bool {
        let until = *self.farewell.get_or_insert(now + FAREWELL);
        let is_alive = state
            .engine
            .as_ref()
            .is_some_and(|engine| engine.is_alive());
        let is_over = !is_alive || now >= until;
        if is_over {
            state.engine = None;
        }
        is_over
    }
}

/// Takes everything that the transport has to give.
fn drain(state: &mut State, now: Instant, departures: &mut Vec<Departure>, turn: &mut Turn) {
    while let Some(engine) = &mut state.engine {
        match engine.poll() {
            Ok(EngineOutput::Wait(at)) => {
                turn.due = Some(at);
                return;
            }
            Ok(EngineOutput::Packet(departure)) => departures.push(departure),
            Ok(output) => state.on_transport(now, output),
            Err(error) => {
                log::error!("the transport of a connection is beyond help: {error}");
                state.liveness.broken(now);
                state.engine = None;
            }
        }
    }
}
