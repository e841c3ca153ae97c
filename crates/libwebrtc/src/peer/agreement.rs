//! What both sides have agreed on for an audio section.

use super::capabilities::{is_opus, red_of};
use crate::{
    audio::{OpusSettings, Packing},
    sdp::Codec,
};

/// Feedback that asks for single packets again. Source: RFC 4585, section 4.2.
pub(super) const NACK: &str = "nack";

/// Codecs of an audio section and how they are used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AudioAgreement {
    /// Payload type of Opus.
    pub(super) opus: u8,
    /// Payload type of Opus with copies (RFC 2198), where both know it.
    pub(super) red: Option<u8>,
    /// Whether that is preferred.
    pub(super) prefers_red: bool,
    /// Whether lost packets are asked for and sent again.
    pub(super) nack: bool,
    /// How the peer wants it encoded.
    pub(super) wishes: OpusSettings,
}

impl AudioAgreement {
    /// Reads the codecs of the answer, and of what the peer wrote, be it offer or answer. `None`
    /// where Opus is not among them.
    pub(super) fn read(answer: &[Codec], theirs: &[Codec]) -> Option<Self> {
        let place = answer.iter().position(is_opus)?;
        let opus = &answer[place];
        let red = red_of(answer, opus.payload_type);
        let prefers_red = red.is_some_and(|(red_place, _)| red_place < place);
        let wishes = theirs.iter().find(|codec| is_opus(codec)).unwrap_or(opus);
        let mut wishes = OpusSettings::from_fmtp(wishes.fmtp.as_deref());
        wishes.redundant = prefers_red;
        Some(Self {
            opus: opus.payload_type,
            red: red.map(|(_, red)| red.payload_type),
            prefers_red,
            nack: opus.feedback.iter().any(|feedback| feedback == NACK),
            wishes,
        })
    }

    /// What packets of a payload type carry; `None` where it is not agreed on.
    pub(super) fn packing(&self, payload_type: u8) -> Option<Packing> {
        if payload_type == self.opus {
            Some(Packing::Plain)
        } else if self.red == Some(payload_type) {
            Some(Packing::Redundant)
        } else {
            None
        }
    }

    /// Whether it pays to ask for lost packets: not where the next ones bring copies.
    pub(super) fn asks_again(&self) -> bool {
        self.nack && !self.prefers_red
    }

    /// The payload type to send copies with, where they are preferred.
    pub(super) fn sends_red(&self) -> Option<u8> {
        self.red.filter(|_| self.prefers_red)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::capabilities, *};

    fn codecs(order: &[u8]) -> Vec<Codec> {
        let all = capabilities::offer_audio(capabilities::RedPreference::Last);
        let find = |pt: &u8| all.iter().find(|codec| codec.payload_type == *pt).cloned();
        order.iter().filter_map(find).collect()
    }

    #[test]
    fn the_first_codec_of_the_answer_is_sent() {
        let agreement = |order: &[u8]| AudioAgreement::read(&codecs(order), &codecs(order));
        let red_first = agreement(&[63, 111]).unwrap();
        assert_eq!(red_first.sends_red(), Some(63));
        assert!(red_first.wishes.redundant && red_first.wishes.in_band_fec);
        assert!(!red_first.asks_again());
        let opus_first = agreement(&[111, 63]).unwrap();
        assert_eq!((opus_first.red, opus_first.sends_red()), (Some(63), None));
        assert_eq!(opus_first.packing(63), Some(Packing::Redundant));
        assert_eq!(opus_first.packing(111), Some(Packing::Plain));
        assert_eq!(opus_first.packing(96), None);
        assert!(opus_first.asks_again());
        assert_eq!(agreement(&[111]).unwrap().red, None);
        assert_eq!(agreement(&[63]), None);
    }

    #[test]
    fn copies_of_another_codec_are_none_of_ours() {
        let mut answer = codecs(&[63, 111]);
        for fmtp in [Some("96/96"), Some("111/96"), Some(""), None] {
            answer[0].fmtp = fmtp.map(str::to_owned);
            assert_eq!(AudioAgreement::read(&answer, &answer).unwrap().red, None);
        }
    }

    #[test]
    fn the_peers_own_wishes_count_not_ours_repeated() {
        let (answer, mut theirs) = (codecs(&[111]), codecs(&[111]));
        theirs[0].fmtp = Some("usedtx=1;maxaveragebitrate=20000".to_owned());
        let agreement = AudioAgreement::read(&answer, &theirs).unwrap();
        assert!(agreement.wishes.dtx && !agreement.wishes.in_band_fec);
        assert_eq!(agreement.wishes.max_average_bitrate, Some(20_000));
    }
}
