//! Records about the path: transport, candidates, certificates.

use super::{
    super::{engine::Engine, network::Origin, reports::Path, state::State},
    TRANSPORT_ID, record,
};
use crate::{
    peer_connection::PeerConnectionState,
    sdp::Fingerprint,
    stats::{
        CandidatePairStats, CertificateStats, DtlsRole, DtlsTransportState, IceCandidatePairState,
        IceCandidateType, IceRole, IceTransportState, LocalCandidateStats, RemoteCandidateStats,
        RtcStats, TransportStats, dictionaries,
    },
};

const PAIR_ID: &str = "candidate-pair";
const LOCAL_CANDIDATE_ID: &str = "local-candidate";
const REMOTE_CANDIDATE_ID: &str = "remote-candidate";
const LOCAL_CERTIFICATE_ID: &str = "local-certificate";
const REMOTE_CERTIFICATE_ID: &str = "remote-certificate";

/// The transport and all that it refers to; nothing before it has begun.
pub(super) fn records(state: &State) -> Vec<RtcStats> {
    let Some(engine) = &state.engine else {
        return Vec::new();
    };
    let mut records = vec![
        RtcStats::Transport(TransportStats {
            rtc: record(TRANSPORT_ID),
            transport: transport(state, engine),
        }),
        certificate(LOCAL_CERTIFICATE_ID, &state.fingerprint),
        certificate(REMOTE_CERTIFICATE_ID, engine.remote_fingerprint()),
    ];
    if let Some(path) = &state.path {
        records.extend(candidates(state, engine, path));
    }
    records
}

fn transport(state: &State, engine: &Engine) -> dictionaries::TransportStats {
    let traffic = engine.traffic();
    let connection = state.liveness.state();
    let or_empty = |id: &str, is_there: bool| {
        if is_there {
            id.to_owned()
        } else {
            String::new()
        }
    };
    dictionaries::TransportStats {
        packets_sent: traffic.packets_sent,
        packets_received: traffic.packets_received,
        bytes_sent: traffic.bytes_sent,
        bytes_received: traffic.bytes_received,
        ice_role: if engine.is_controlling() {
            IceRole::Controlling
        } else {
            IceRole::Controlled
        },
        ice_local_username_fragment: state.credentials.ufrag.clone(),
        dtls_state: Some(dtls_state(connection)),
        ice_state: Some(ice_state(connection)),
        selected_candidate_pair_id: or_empty(PAIR_ID, state.path.is_some()),
        local_certificate_id: LOCAL_CERTIFICATE_ID.to_owned(),
        remote_certificate_id: REMOTE_CERTIFICATE_ID.to_owned(),
        dtls_role: if engine.is_dtls_client() {
            DtlsRole::Client
        } else {
            DtlsRole::Server
        },
        selected_candidate_pair_changes: state.path_changes,
        ..Default::default()
    }
}

fn dtls_state(connection: PeerConnectionState) -> DtlsTransportState {
    match connection {
        PeerConnectionState::New => DtlsTransportState::New,
        PeerConnectionState::Connecting => DtlsTransportState::Connecting,
        PeerConnectionState::Connected | PeerConnectionState::Disconnected => {
            DtlsTransportState::Connected
        }
        PeerConnectionState::Failed => DtlsTransportState::Failed,
        PeerConnectionState::Closed => DtlsTransportState::Closed,
    }
}

fn ice_state(connection: PeerConnectionState) -> IceTransportState {
    match connection {
        PeerConnectionState::New => IceTransportState::New,
        PeerConnectionState::Connecting => IceTransportState::Checking,
        PeerConnectionState::Connected => IceTransportState::Connected,
        PeerConnectionState::Disconnected => IceTransportState::Disconnected,
        PeerConnectionState::Failed => IceTransportState::Failed,
        PeerConnectionState::Closed => IceTransportState::Closed,
    }
}

fn candidates(state: &State, engine: &Engine, path: &Path) -> [RtcStats; 3] {
    let traffic = engine.traffic();
    let pair = RtcStats::CandidatePair(CandidatePairStats {
        rtc: record(PAIR_ID),
        candidate_pair: dictionaries::CandidatePairStats {
            transport_id: TRANSPORT_ID.to_owned(),
            local_candidate_id: LOCAL_CANDIDATE_ID.to_owned(),
            remote_candidate_id: REMOTE_CANDIDATE_ID.to_owned(),
            state: Some(IceCandidatePairState::Succeeded),
            nominated: true,
            packets_sent: traffic.packets_sent,
            packets_received: traffic.packets_received,
            bytes_sent: traffic.bytes_sent,
            bytes_received: traffic.bytes_received,
            total_round_trip_time: path.total_round_trip.as_secs_f64(),
            current_round_trip_time: path.round_trip.unwrap_or_default().as_secs_f64(),
            responses_received: path.responses,
            ..Default::default()
        },
    });
    let candidate = |address: std::net::SocketAddr, kind| dictionaries::IceCandidateStats {
        transport_id: TRANSPORT_ID.to_owned(),
        address: address.ip().to_string(),
        port: i32::from(address.port()),
        protocol: path.protocol.to_owned(),
        candidate_type: Some(kind),
        ..Default::default()
    };
    let mut ours = state.local_candidates.iter();
    let local_kind = match ours.find(|candidate| candidate.address == path.local) {
        Some(candidate) => match candidate.origin {
            Origin::Host => IceCandidateType::Host,
            Origin::Reflexive => IceCandidateType::Srflx,
            Origin::Relayed => IceCandidateType::Relay,
        },
        None => IceCandidateType::Prflx,
    };
    let remote_kind = engine.kind_of_remote(path.remote);
    let local = RtcStats::LocalCandidate(LocalCandidateStats {
        rtc: record(LOCAL_CANDIDATE_ID),
        local_candidate: candidate(path.local, local_kind),
    });
    let remote = RtcStats::RemoteCandidate(RemoteCandidateStats {
        rtc: record(REMOTE_CANDIDATE_ID),
        remote_candidate: candidate(path.remote, remote_kind),
    });
    [pair, local, remote]
}

fn certificate(id: &str, fingerprint: &Fingerprint) -> RtcStats {
    let digest: Vec<String> = fingerprint
        .digest
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    RtcStats::Certificate(CertificateStats {
        rtc: record(id),
        certificate: dictionaries::CertificateStats {
            fingerprint: digest.join(":"),
            fingerprint_algorithm: fingerprint.hash.clone(),
            ..Default::default()
        },
    })
}
