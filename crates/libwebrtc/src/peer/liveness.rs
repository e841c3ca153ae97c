//! What the state of a connection is, from what is seen of it.
//!
//! str0m says when checks succeed and when a path is lost, but knows no failure: a connection that
//! was lost may always come back. Those above need an end, so silence is measured here. The times
//! are those of the C++ engine, whose users' timeouts are tuned to them.

use std::time::{Duration, Instant};

use super::engine::IceState;
use crate::peer_connection::PeerConnectionState as State;

/// Silence after which a connection counts as disconnected. Checks are answered every 2 s, so two
/// in a row have been lost.
const SILENCE: Duration = Duration::from_secs(5);

/// How long a disconnected connection may recover by itself.
const RECOVERY: Duration = Duration::from_secs(15);

/// How long the first path may take. Trickled candidates arrive within a few seconds, and those
/// above give up after 15 s to 20 s.
const ESTABLISHMENT: Duration = Duration::from_secs(20);

/// Follows one connection through its states.
#[derive(Debug)]
pub(super) struct Liveness {
    state: State,
    /// When the state began.
    since: Instant,
    /// When anything was last received that only the peer can have sent.
    heard: Instant,
    secured: bool,
    ice: IceState,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::New,
            since: now,
            heard: now,
            secured: false,
            ice: IceState::Checking,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether checks have found a path, since ICE last began, and it is alive.
    pub(super) fn is_path_up(&self) -> bool {
        self.ice == IceState::Connected && self.state != State::Disconnected
    }

    /// The transport begins, or ICE begins anew.
    pub(super) fn started(&mut self, now: Instant) {
        self.heard = now;
        match self.state {
            State::New | State::Failed => self.enter(now, State::Connecting),
            // The clock of recovery begins anew with the restart.
            State::Connecting | State::Disconnected => self.since = now,
            State::Connected | State::Closed => {}
        }
    }

    /// ICE and DTLS are done.
    pub(super) fn secured(&mut self, now: Instant) {
        self.secured = true;
        self.settle(now);
    }

    /// Losing a path does not disconnect by itself: at a restart every path is given up while the
    /// old one still carries everything. Silence does.
    pub(super) fn ice(&mut self, now: Instant, ice: IceState) {
        self.ice = ice;
        self.settle(now);
    }

    /// Something has come that only the peer can have sent: anybody else could keep a dead
    /// connection alive with less.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        if self.state == State::Disconnected {
            self.settle(now);
        }
    }

    /// The peer has closed.
    pub(super) fn closed_by_peer(&mut self, now: Instant) {
        self.secured = false;
        if matches!(self.state, State::Connecting | State::Connected) {
            self.enter(now, State::Disconnected);
        }
    }

    /// The transport is beyond help.
    pub(super) fn broken(&mut self, now: Instant) {
        self.secured = false;
        if self.state != State::Closed {
            self.enter(now, State::Failed);
        }
    }

    pub(super) fn closed(&mut self, now: Instant) {
        self.enter(now, State::Closed);
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Instant) {
        let Some(due) = self.due() else { return };
        if now < due {
            return;
        }
        match self.state {
            State::Connected => self.enter(now, State::Disconnected),
            State::Connecting | State::Disconnected => self.enter(now, State::Failed),
            State::New | State::Failed | State::Closed => {}
        }
    }

    /// When [`Self::tick`] will do something, if nothing else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Connected => Some(self.heard + SILENCE),
            State::Disconnected => Some(self.since + RECOVERY),
            State::Connecting => Some(self.since + ESTABLISHMENT),
            State::New | State::Failed | State::Closed => None,
        }
    }

    /// Becomes connected if it is.
    fn settle(&mut self, now: Instant) {
        let up = self.secured && self.ice == IceState::Connected;
        let may = matches!(
            self.state,
            State::Connecting | State::Disconnected | State::Failed
        );
        if up && may && now < self.heard + SILENCE {
            self.enter(now, State::Connected);
        }
    }

    fn enter(&mut self, now: Instant, state: State) {
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(now: Instant) -> Liveness {
        let mut liveness = Liveness::new(now);
        liveness.started(now);
        liveness.ice(now, IceState::Connected);
        assert_eq!(
            liveness.state(),
            State::Connecting,
            "ICE alone does not carry media"
        );
        liveness.secured(now);
        assert_eq!(liveness.state(), State::Connected);
        liveness
    }

    #[test]
    fn silence_disconnects_and_then_fails() {
        let now = Instant::now();
        let mut liveness = connected(now);
        liveness.tick(now + SILENCE - Duration::from_millis(1));
        assert_eq!(liveness.state(), State::Connected);
        let lost = liveness.due().unwrap();
        liveness.tick(lost);
        assert_eq!(liveness.state(), State::Disconnected);
        liveness.tick(lost + RECOVERY);
        assert_eq!(liveness.state(), State::Failed);
        assert_eq!(liveness.due(), None);
    }

    #[test]
    fn a_restart_of_a_live_connection_is_not_seen() {
        let now = Instant::now();
        let mut liveness = connected(now);
        liveness.started(now);
        for ice in [
            IceState::Disconnected,
            IceState::Checking,
            IceState::Connected,
        ] {
            liveness.ice(now, ice);
            assert_eq!(liveness.state(), State::Connected);
        }
    }

    #[test]
    fn a_packet_ends_a_disconnection() {
        let now = Instant::now();
        let mut liveness = connected(now);
        let lost = now + SILENCE;
        liveness.tick(lost);
        liveness.heard(lost + Duration::from_secs(3));
        assert_eq!(liveness.state(), State::Connected);
    }

    #[test]
    fn a_connection_that_never_comes_fails() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        assert_eq!(liveness.due(), None);
        liveness.started(now);
        liveness.tick(now + ESTABLISHMENT);
        assert_eq!(liveness.state(), State::Failed);
    }

    #[test]
    fn a_restart_revives_a_failed_connection() {
        let now = Instant::now();
        let mut liveness = connected(now);
        liveness.broken(now);
        assert_eq!(liveness.state(), State::Failed);
        liveness.started(now);
        assert_eq!(liveness.state(), State::Connecting);
        liveness.secured(now);
        assert_eq!(liveness.state(), State::Connected);
    }

    #[test]
    fn a_peer_that_closes_disconnects_at_once() {
        let now = Instant::now();
        let mut liveness = connected(now);
        liveness.closed_by_peer(now);
        assert_eq!(liveness.state(), State::Disconnected);
        liveness.heard(now);
        assert_eq!(
            liveness.state(),
            State::Disconnected,
            "stray packets do not undo it"
        );
    }
}
