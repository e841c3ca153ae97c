//! A bound on the streams of SCTP, between DTLS and SCTP.
//!
//! str0m's SCTP makes a stream for every number that data comes with, 65,536 if the peer likes, and
//! goes through all of them with every chunk: a hostile peer could keep a core busy with a few
//! thousand packets a second. str0m offers no place to say how many there may be but this one: what
//! comes out of DTLS. What is refused is lost, as packets are.
//!
//! Where str0m may take a chunk for shorter than it says, because it counts what it has read of it,
//! something else could follow than appears here. So nothing may follow such a chunk.

use std::time::Instant;

use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{
        DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion,
        ProtocolVersion,
    },
};

/// Streams have numbers below this. Source: what browsers have.
pub(super) const MAX_STREAMS: u16 = 1_024;

const HEADER_BYTES: usize = 12;
const CHUNK_HEADER_BYTES: usize = 4;

/// Kinds of chunks. Source: RFC 9260, section 3.2, and RFC 3758, section 3.2.
const DATA: u8 = 0;
const SACK: u8 = 3;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;
const FORWARD_TSN: u8 = 192;

/// Cryptography as it was, with the bound. To be called once or twice in a process: it is kept.
pub(super) fn limited(crypto: CryptoProvider) -> CryptoProvider {
    CryptoProvider {
        dtls_provider: Box::leak(Box::new(Limited(crypto.dtls_provider))),
        ..crypto
    }
}

/// Whether a packet of SCTP is to be kept from it.
fn is_refused(packet: &[u8]) -> bool {
    let mut chunks = packet.get(HEADER_BYTES..).unwrap_or_default();
    while let [kind, _, high, low, ..] = chunks {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(body) = chunks.get(CHUNK_HEADER_BYTES..length) else {
            return true;
        };
        let stream = body.get(4..6).map(|at| u16::from_be_bytes([at[0], at[1]]));
        if *kind == DATA && stream.is_none_or(|stream| stream >= MAX_STREAMS) {
            return true;
        }
        let is_as_long_as_it_says = matches!(
            *kind,
            DATA | SACK
                | SHUTDOWN
                | SHUTDOWN_ACK
                | COOKIE_ECHO
                | COOKIE_ACK
                | SHUTDOWN_COMPLETE
                | FORWARD_TSN
        );
        chunks = chunks.get(length.next_multiple_of(4)..).unwrap_or_default();
        if !chunks.is_empty() && !is_as_long_as_it_says {
            return true;
        }
    }
    false
}

#[derive(Debug)]
struct Limited(&'static dyn DtlsProvider);

impl DtlsProvider for Limited {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = self.0.new_dtls(certificate, now, version, mtu)?;
        Ok(Box::new(LimitedInstance(inner)))
    }

    fn is_test(&self) -> bool {
        self.0.is_test()
    }
}

#[derive(Debug)]
struct LimitedInstance(Box<dyn DtlsInstance>);

impl DtlsInstance for LimitedInstance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.0.poll_output(buffer) {
            DtlsOutput::ApplicationData(packet) if is_refused(packet) => {
                log::debug!("a packet for more streams than there may be was dropped");
                // Nothing, which SCTP ignores.
                DtlsOutput::ApplicationData(&[])
            }
            output => output,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: u8 = 4;

    fn packet(chunks: &[(u8, &[u8])]) -> Vec<u8> {
        let mut packet = vec![7; HEADER_BYTES];
        for (kind, body) in chunks {
            let length = u16::try_from(body.len() + CHUNK_HEADER_BYTES).unwrap();
            packet.extend([*kind, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend(*body);
            packet.resize(packet.len().next_multiple_of(4), 0);
        }
        packet
    }

    fn data(stream: u16) -> Vec<u8> {
        let [high, low] = stream.to_be_bytes();
        [&[0, 0, 0, 1, high, low, 0, 0, 0, 0, 0, 53][..], b"hello"].concat()
    }

    #[test]
    fn data_of_high_streams_is_refused_wherever_it_is() {
        let (low, high) = (data(MAX_STREAMS - 1), data(MAX_STREAMS));
        assert!(!is_refused(&packet(&[(DATA, &low), (DATA, &low)])));
        for chunks in [
            &[(DATA, &high[..])][..],
            &[(DATA, &low), (DATA, &high)],
            &[(SACK, &[0; 12]), (FORWARD_TSN, &[0; 8]), (DATA, &high)],
        ] {
            assert!(is_refused(&packet(chunks)), "{chunks:?}");
        }
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        let low = data(1);
        assert!(!is_refused(&packet(&[
            (SACK, &[0; 12]),
            (HEARTBEAT, &[0; 9])
        ])));
        assert!(is_refused(&packet(&[(HEARTBEAT, &[0; 9]), (DATA, &low)])));
        let whole = packet(&[(DATA, &low)]);
        assert!(is_refused(&whole[..whole.len() - 4]), "cut off");
        assert!(is_refused(&packet(&[(DATA, &[0; 5])])), "no stream");
    }

    #[test]
    fn what_is_no_packet_is_left_to_sctp() {
        for bytes in [&[][..], &[1; 5], &[1; HEADER_BYTES], &[1; HEADER_BYTES + 3]] {
            assert!(!is_refused(bytes), "{bytes:?}");
        }
    }
}
