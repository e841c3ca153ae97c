//! The one task of a connection: it moves packets, keeps time and delivers events.
//!
//! A turn takes the lock once, lets everything happen that can, and leaves with the datagrams and
//! events that came of it. Encoding, decoding, sending and callbacks happen without the lock.

use std::{
    collections::VecDeque,
    future, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, runtime::Runtime};

use super::{
    PeerShared, engine::EngineOutput, handlers::Event, network::Routes, pipelines::Pipelines,
    state::State,
};
use crate::peer_connection::PeerConnectionState;

/// Datagrams read in one turn, so that a flood cannot keep the lock.
const MAX_DATAGRAMS: usize = 64;

/// Longest datagram read. Nothing above the path's 1,500 bytes is expected.
const MAX_DATAGRAM: usize = 2_000;

/// How long the farewell may take: one exchange on any path that still works.
const FAREWELL: Duration = Duration::from_millis(300);

/// Longest sleep. Timers far away are looked at again; the clock's range need not be known.
const MAX_SLEEP: Duration = Duration::from_secs(3_600);

/// Starts the driver. It ends after the connection is closed; [`Exit`] sees to every other end.
pub(super) fn spawn(runtime: &Runtime, shared: Arc<PeerShared>) {
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
        log::error!("the driver of a connection has died; the connection fails");
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        state.engine = None;
        state.liveness.broken(now);
        state.report_liveness();
        let events = std::mem::take(&mut state.events);
        drop(state);
        for event in events {
            event.deliver(&self.shared.handlers);
        }
    }
}

struct Driver {
    shared: Arc<PeerShared>,
    pipelines: Pipelines,
    socket: Option<UdpSocket>,
    port: u16,
    routes: Routes,
    /// How often addresses had been looked for when `routes` was last emptied.
    gatherings: u64,
    buffer: Box<[u8]>,
    /// When to stop saying goodbye.
    farewell: Option<Instant>,
}

/// What came of a turn.
#[derive(Default)]
struct Turn {
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
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
            socket: None,
            port: 0,
            routes: Routes::default(),
            gatherings: 0,
            buffer: vec![0; MAX_DATAGRAM].into_boxed_slice(),
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
            self.transmit(&turn.datagrams);
            let had_events = !turn.events.is_empty();
            for event in turn.events {
                event.deliver(&self.shared.handlers);
            }
            if turn.is_over {
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
                .min();
            self.wait(due).await;
        }
    }

    /// Waits for a datagram, an alarm, or `due`.
    async fn wait(&mut self, due: Option<Instant>) {
        // Taken apart so that the future borrows no encoder, which is not `Sync`.
        let Self { socket, shared, .. } = self;
        let readable = async {
            match &socket {
                Some(socket) => socket.readable().await,
                None => future::pending().await,
            }
        };
        let latest = Instant::now() + MAX_SLEEP;
        let until = due.map_or(latest, |due| due.min(latest));
        tokio::select! {
            readable = readable => {
                if let Err(error) = readable {
                    log::debug!("the media socket: {error}");
                }
            }
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
        self.adopt_socket(state);
        if self.gatherings != state.gatherings {
            self.gatherings = state.gatherings;
            self.routes.forget();
        }
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

    fn adopt_socket(&mut self, state: &mut State) {
        let Some(socket) = state.socket.take() else {
            return;
        };
        self.port = state.port.unwrap_or_default();
        match UdpSocket::from_std(socket) {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => {
                log::error!("the media socket cannot be waited for: {error}");
                state.liveness.broken(Instant::now());
            }
        }
    }

    /// Moves time forward and takes everything that the transport has to give.
    fn pump(&mut self, state: &mut State, now: Instant, turn: &mut Turn) {
        if let Some(engine) = &mut state.engine {
            engine.tick(now);
        }
        self.drain(state, now, turn);
    }

    fn drain(&mut self, state: &mut State, now: Instant, turn: &mut Turn) {
        while let Some(engine) = &mut state.engine {
            match engine.poll() {
                Ok(EngineOutput::Wait(at)) => {
                    turn.due = Some(at);
                    return;
                }
                Ok(EngineOutput::Datagram {
                    source,
                    destination,
                    bytes,
                }) => {
                    // The system chooses the source; a pair with another does not exist.
                    if self.routes.towards(destination.ip()) == Some(source.ip()) {
                        turn.datagrams.push((destination, bytes));
                    }
                }
                Ok(output) => state.on_transport(now, output),
                Err(error) => {
                    log::error!("the transport of a connection is beyond help: {error}");
                    state.liveness.broken(now);
                    state.engine = None;
                }
            }
        }
    }

    /// Reads what has come.
    fn receive(&mut self, state: &mut State, now: Instant, turn: &mut Turn) {
        for _ in 0..MAX_DATAGRAMS {
            let Some(socket) = &self.socket else { return };
            let (length, source) = match socket.try_recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Such as an ICMP message about a candidate nobody listens on.
                Err(_) => continue,
            };
            let Some(local) = self.routes.towards(source.ip()) else {
                continue;
            };
            if let Some(engine) = &mut state.engine {
                let destination = SocketAddr::new(local, self.port);
                if engine.receive(now, source, destination, &self.buffer[..length]) {
                    state.liveness.heard(now);
                }
            }
            self.drain(state, now, turn);
        }
        // There may be more; look again at once.
        turn.due = Some(now);
    }

    fn transmit(&self, datagrams: &[(SocketAddr, Vec<u8>)]) {
        let Some(socket) = &self.socket else { return };
        for (destination, bytes) in datagrams {
            // A full socket buffer or a missing route loses the packet, as networks do.
            if let Err(error) = socket.try_send_to(bytes, *destination) {
                log::trace!("a datagram to {destination} was not sent: {error}");
            }
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
