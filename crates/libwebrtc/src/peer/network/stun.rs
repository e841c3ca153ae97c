//! Asking a STUN server by which address it sees us. Source: RFC 8489.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use turn_client_proto::types::stun::{
    attribute::XorMappedAddress,
    message::{BINDING, Message, MessageClass, MessageWriteVec, TransactionId},
    prelude::{MessageWrite as _, MessageWriteExt as _},
};

/// When a question is asked again, counted from the first time. Gathering waits for the answers,
/// so it ends earlier than the 39.5 s of the RFC: whoever has not answered six times in five
/// seconds is away.
const ASKED_AGAIN: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(750),
    Duration::from_millis(1_500),
    Duration::from_millis(2_500),
    Duration::from_millis(3_500),
];

/// When an answer no longer counts.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// The two highest bits of every STUN message are zero. Source: RFC 7983, section 7.
pub(super) fn may_be_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < 4)
}

/// One question to one server from one of our addresses.
pub(super) struct Question {
    pub(super) server: SocketAddr,
    /// What it is asked from.
    pub(super) base: SocketAddr,
    id: TransactionId,
    message: Vec<u8>,
    since: Instant,
    asked: usize,
}

/// What is to be done about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ask,
    Wait,
    GiveUp,
}

impl Question {
    pub(super) fn new(now: Instant, server: SocketAddr, base: SocketAddr) -> Self {
        let request = Message::builder_request(BINDING, MessageWriteVec::new());
        let id = request.transaction_id();
        Self {
            server,
            base,
            id,
            message: request.finish(),
            since: now,
            asked: 0,
        }
    }

    /// When [`Self::next`] says something else than to wait.
    pub(super) fn due(&self) -> Instant {
        match self.asked.checked_sub(1) {
            None => self.since,
            Some(again) => self.since + ASKED_AGAIN.get(again).copied().unwrap_or(GIVEN_UP),
        }
    }

    /// What to do now. `Ask` counts as done.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        match self.asked {
            _ if now < self.due() => Next::Wait,
            asked if asked > ASKED_AGAIN.len() => Next::GiveUp,
            _ => {
                self.asked += 1;
                Next::Ask
            }
        }
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// The address that an answer to this question names; none where it is no such answer.
    pub(super) fn answered_by(&self, server: SocketAddr, bytes: &[u8]) -> Option<SocketAddr> {
        if server != self.server {
            return None;
        }
        let message = Message::from_bytes(bytes).ok()?;
        let is_answer = message.transaction_id() == self.id
            && message.has_class(MessageClass::Success)
            && message.has_method(BINDING);
        if !is_answer {
            return None;
        }
        let mapped = message.attribute::<XorMappedAddress>().ok()?;
        let address = mapped.addr(self.id);
        (address.is_ipv4() == self.base.is_ipv4()).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn answer(question: &Question, mapped: SocketAddr) -> Vec<u8> {
        let request = Message::from_bytes(question.message()).unwrap();
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        let attribute = XorMappedAddress::new(mapped, request.transaction_id());
        answer.add_attribute(&attribute).unwrap();
        answer.finish()
    }

    #[test]
    fn the_answer_tells_the_address() {
        let (server, base) = (at("192.0.2.1:3478"), at("10.0.0.7:5000"));
        let question = Question::new(Instant::now(), server, base);
        let mapped = at("203.0.113.9:62000");
        let bytes = answer(&question, mapped);
        assert_eq!(question.answered_by(server, &bytes), Some(mapped));
        assert_eq!(question.answered_by(at("192.0.2.2:3478"), &bytes), None);
        let other = Question::new(Instant::now(), server, base);
        assert_eq!(other.answered_by(server, &bytes), None, "another's answer");
        let v6 = answer(&question, at("[2001:db8::1]:5"));
        assert_eq!(question.answered_by(server, &v6), None, "of another family");
    }

    #[test]
    fn a_server_that_is_away_is_given_up() {
        let start = Instant::now();
        let mut question = Question::new(start, at("192.0.2.1:3478"), at("10.0.0.7:5000"));
        let (mut now, mut asked) = (start, 0);
        loop {
            match question.next(now) {
                Next::Ask => asked += 1,
                Next::Wait => now = question.due(),
                Next::GiveUp => break,
            }
        }
        assert_eq!((asked, now - start), (6, GIVEN_UP));
    }

    proptest! {
        #[test]
        fn damage_never_panics(
            cut in 0_usize..40,
            flips in prop::collection::vec((0_usize..40, any::<u8>()), 0..6),
        ) {
            let server = at("192.0.2.1:3478");
            let question = Question::new(Instant::now(), server, at("10.0.0.7:5000"));
            let mut bytes = answer(&question, at("203.0.113.9:62000"));
            bytes.truncate(cut);
            for (index, byte) in flips {
                if let Some(target) = bytes.get_mut(index) {
                    *target = byte;
                }
            }
            let _ = question.answered_by(server, &bytes);
        }
    }
}
