//! ICE candidates, ours and the peer's.

use std::net::SocketAddr;

use str0m::{Candidate, CandidateKind, net::TcpType};

use super::{Engine, identity::str0m_credentials};
use crate::{
    peer::network::{LocalCandidate, Origin, Transport},
    sdp::IceCredentials,
    stats::IceCandidateType,
};

/// Most candidates of the peer at a time. Each is checked from each of our addresses.
const MAX_REMOTE_CANDIDATES: usize = 64;

/// Candidates that the peer may name in the life of a connection, restarts included. str0m forgets
/// none; a connection that needs more of them is made anew.
const MAX_CANDIDATES_EVER: usize = 2_048;

/// A candidate of ours as str0m has it; none where it takes the address for no good.
fn str0m_candidate(local: &LocalCandidate) -> Option<Candidate> {
    let address = local.address;
    let candidate = match (local.origin, local.transport) {
        (Origin::Host, Transport::Udp) => Candidate::host(address, "udp"),
        (Origin::Host, Transport::Tcp) => {
            let active = Candidate::builder().tcp().host(address);
            active.tcptype(TcpType::Active).build()
        }
        (Origin::Reflexive, _) => Candidate::server_reflexive(address, local.base, "udp"),
        (Origin::Relayed, _) => Candidate::relayed(address, address, "udp"),
    };
    candidate.ok()
}

/// A candidate of ours as descriptions and trickle carry it.
pub(in crate::peer) fn candidate_line(local: &LocalCandidate) -> Option<String> {
    let candidate = str0m_candidate(local)?;
    let line = candidate.to_sdp_string();
    Some(
        line.strip_prefix("a=")
            .unwrap_or(&line)
            .trim_end()
            .to_owned(),
    )
}

impl Engine {
    /// What sort of candidate of the peer's an address is; one that it never told of is reflexive.
    pub(in crate::peer) fn kind_of_remote(&self, address: SocketAddr) -> IceCandidateType {
        let told = self.remote_candidates.iter().find(|c| c.addr() == address);
        match told.map(Candidate::kind) {
            Some(CandidateKind::Host) => IceCandidateType::Host,
            Some(CandidateKind::ServerReflexive) => IceCandidateType::Srflx,
            Some(CandidateKind::Relayed) => IceCandidateType::Relay,
            Some(CandidateKind::PeerReflexive) | None => IceCandidateType::Prflx,
        }
    }

    pub(in crate::peer) fn add_local(&mut self, local: &LocalCandidate) {
        let Some(candidate) = str0m_candidate(local) else {
            return;
        };
        if local.transport == Transport::Tcp {
            self.local_tcp.push(candidate.clone());
        }
        self.rtc.add_local_candidate(candidate);
    }

    /// Nothing comes or goes by this one any more.
    pub(in crate::peer) fn remove_local(&mut self, local: &LocalCandidate) {
        if let Some(candidate) = str0m_candidate(local) {
            self.local_tcp.retain(|known| *known != candidate);
            self.rtc.direct_api().invalidate_candidate(&candidate);
        }
    }

    /// Adds a candidate of the peer; lines that cannot be used are ignored. Answers `false` where
    /// there are too many.
    pub(in crate::peer) fn add_remote_candidate(&mut self, line: &str) -> bool {
        match Candidate::from_sdp_string(line) {
            Ok(_)
                if self.remote_candidates.len() >= MAX_REMOTE_CANDIDATES
                    || self.candidates_ever >= MAX_CANDIDATES_EVER =>
            {
                return false;
            }
            Ok(candidate) if self.remote_candidates.contains(&candidate) => {}
            Ok(candidate) => {
                self.candidates_ever += 1;
                self.remote_candidates.push(candidate.clone());
                self.rtc.add_remote_candidate(candidate);
            }
            Err(error) => log::debug!("candidate {line:?} is not used: {error}"),
        }
        true
    }

    /// Begins anew with ICE; the old path is used until there is a new one.
    pub(in crate::peer) fn restart_ice(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        let mut api = self.rtc.direct_api();
        let old = self.remote_candidates.drain(..);
        for candidate in old.chain(self.local_tcp.drain(..)) {
            api.invalidate_candidate(&candidate);
        }
        api.set_local_ice_credentials(str0m_credentials(local));
        api.set_remote_ice_credentials(str0m_credentials(remote));
    }
}
