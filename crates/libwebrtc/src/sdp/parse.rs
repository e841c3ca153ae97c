//! From text to [`Session`].

use super::{
    Codec, Direction, Fingerprint, IceCredentials, Kind, Media, Section, Session, Setup, Transport,
};
use crate::session_description::SdpParseError;

/// Longest description that is read. Server offers of big rooms stay under 300 KiB; anything
/// longer is not a description but an attack.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Most sections that are read, for the same reason. Chrome stops at about 1,300.
const MAX_SECTIONS: usize = 2_000;

/// Longest user fragment and password. Source: RFC 8839, section 5.4. They go into messages that
/// the transport must be able to write.
const MAX_CREDENTIAL: usize = 256;

/// Longest digest of a certificate: SHA-512.
const MAX_DIGEST: usize = 64;

/// Longest mid; those in use have one to three characters. The transport tells sections apart by so
/// many, as a header extension carries them. Source: RFC 8843, section 15.1.
const MAX_MID: usize = 16;

/// Candidates of a section that are kept: what is used of all of them together.
const MAX_CANDIDATES: usize = 64;

/// Sources of a section that are kept. Simulcast in three layers, each with retransmission and
/// repair, has nine.
const MAX_SSRCS: usize = 16;

/// Feedback of a codec that is kept. Browsers have six.
const MAX_FEEDBACK: usize = 16;

/// Reads a description. Line ends may be CRLF or LF.
///
/// # Errors
/// Where it does not begin with `v=0`, a line has no `x=` form, or something that is needed cannot
/// be read.
pub(crate) fn parse(text: &str) -> Result<Session, SdpParseError> {
    if text.len() > MAX_BYTES {
        return Err(error("", "the description is too long"));
    }
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    match lines.next() {
        Some(first) if first.trim_end() == "v=0" => {}
        first => return Err(error(first.unwrap_or_default(), "expected v=0")),
    }
    let mut reader = Reader::default();
    for line in lines {
        if line.trim().is_empty() {
            continue;
        }
        reader.line(line)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    session: Session,
    /// The section that lines belong to; before the first one, the session.
    section: Option<SectionReader>,
    session_transport: TransportReader,
    has_origin: bool,
}

struct SectionReader {
    section: Section,
    transport: TransportReader,
    /// Payload types of the `m=` line, in its order.
    formats: Vec<u8>,
    has_mid: bool,
    /// SSRCs of retransmission and repair: all but the first of a group.
    repair: Vec<u32>,
}

#[derive(Default)]
struct TransportReader {
    ufrag: Option<String>,
    pwd: Option<String>,
    fingerprint: Option<Fingerprint>,
    setup: Option<Setup>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), SdpParseError> {
        let (kind, value) = match line.split_once('=') {
            Some((kind, value)) if kind.len() == 1 => (kind, value),
            _ => return Err(error(line, "expected a line of the form x=…")),
        };
        match kind {
            "m" => self.begin_section(line, value),
            "o" => self.origin(line, value),
            "a" => self
                .attribute(value)
                .map_err(|description| error(line, description)),
            _ => Ok(()),
        }
    }

    fn origin(&mut self, line: &str, value: &str) -> Result<(), SdpParseError> {
        let mut words = value.split_ascii_whitespace().skip(1);
        let mut number = || words.next().and_then(|word| word.parse().ok());
        match (number(), number()) {
            (Some(id), Some(version)) => self.session.origin = (id, version),
            _ => return Err(error(line, "expected a session id and version")),
        }
        self.has_origin = true;
        Ok(())
    }

    fn begin_section(&mut self, line: &str, value: &str) -> Result<(), SdpParseError> {
        self.end_section();
        if self.session.sections.len() >= MAX_SECTIONS {
            return Err(error(line, "too many sections"));
        }
        let mut words = value.split_ascii_whitespace();
        let media = words
            .next()
            .ok_or_else(|| error(line, "expected a media type"))?;
        // The port may carry a count (`9/2`), which nothing uses.
        let port = words
            .next()
            .and_then(|port| port.split('/').next()?.parse().ok());
        let port = port.ok_or_else(|| error(line, "expected a port"))?;
        let protocol = words
            .next()
            .ok_or_else(|| error(line, "expected a protocol"))?;
        let is_rtp = protocol.contains("RTP/");
        let kind = match media {
            "audio" if is_rtp => Kind::Audio,
            "video" if is_rtp => Kind::Video,
            "application" if protocol.ends_with("DTLS/SCTP") => Kind::Data,
            other => Kind::Other(other.to_owned()),
        };
        let mut formats = Vec::new();
        for format in words.filter_map(|format| format.parse().ok()) {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        self.section = Some(SectionReader {
            section: Section {
                kind,
                port,
                protocol: protocol.to_owned(),
                mid: String::new(),
                transport: Transport::default(),
                candidates: Vec::new(),
                media: Media::default(),
                max_message_size: None,
            },
            transport: TransportReader::default(),
            formats,
            has_mid: false,
            repair: Vec::new(),
        });
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), &'static str> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let transport = match &mut self.section {
            Some(section) => &mut section.transport,
            None => &mut self.session_transport,
        };
        if transport.attribute(name, value)? {
            return Ok(());
        }
        match &mut self.section {
            Some(section) => section.attribute(name, value),
            None if name == "ice-lite" => {
                self.session.ice_lite = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn end_section(&mut self) {
        if let Some(section) = self.section.take() {
            let index = self.session.sections.len();
            self.session.sections.push(section.finish(index));
        }
    }

    fn finish(mut self) -> Result<Session, SdpParseError> {
        self.end_section();
        if !self.has_origin {
            return Err(error("", "there is no o= line"));
        }
        let mut mids: Vec<&str> = self
            .session
            .sections
            .iter()
            .map(|section| section.mid.as_str())
            .collect();
        mids.sort_unstable();
        if let Some(pair) = mids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(error(
                &format!("a=mid:{}", pair[0]),
                "two sections have this mid",
            ));
        }
        self.session.transport = self.session_transport.finish();
        Ok(self.session)
    }
}

impl SectionReader {
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let media = &mut self.section.media;
        match name {
            "mid" => {
                if value.is_empty() || value.len() > MAX_MID {
                    return Err("the mid is empty or too long");
                }
                value.clone_into(&mut self.section.mid);
                self.has_mid = true;
            }
            "sendrecv" => media.direction = Direction::SendRecv,
            "sendonly" => media.direction = Direction::SendOnly,
            "recvonly" => media.direction = Direction::RecvOnly,
            "inactive" => media.direction = Direction::Inactive,
            "candidate" if self.section.candidates.len() < MAX_CANDIDATES => {
                let candidate = format!("candidate:{value}");
                self.section.candidates.push(candidate);
            }
            "rtpmap" => {
                let codec = rtpmap(value)?;
                let is_same = |other: &Codec| other.payload_type == codec.payload_type;
                // The first one counts, and so there are at most as many as numbers.
                if !media.codecs.iter().any(is_same) {
                    media.codecs.push(codec);
                }
            }
            "fmtp" => {
                if let Some((codec, value)) = find_codec(&mut media.codecs, value) {
                    codec.fmtp = Some(value.to_owned());
                }
            }
            "rtcp-fb" => {
                if let Some((codec, value)) = find_codec(&mut media.codecs, value)
                    && codec.feedback.len() < MAX_FEEDBACK
                {
                    codec.feedback.push(value.to_owned());
                }
            }
            "extmap" => {
                let extension = extmap(value)?;
                if !media.extensions.iter().any(|(id, _)| *id == extension.0) {
                    media.extensions.push(extension);
                }
            }
            "msid" => {
                let mut words = value.split_ascii_whitespace();
                let stream = words.next().ok_or("the msid is empty")?.to_owned();
                let track = words.next().unwrap_or_default().to_owned();
                media.msid = Some((stream, track));
            }
            "ssrc" => self.ssrc(value)?,
            "ssrc-group" => {
                let ssrcs = value.split_ascii_whitespace().skip(1);
                // `FID <media> <retransmission>`, `FEC-FR <media> <repair>`; simulcast (`SIM`)
                // lists media only.
                if !value.starts_with("SIM") {
                    let room = MAX_SSRCS.saturating_sub(self.repair.len());
                    let repair = ssrcs.skip(1).filter_map(|ssrc| ssrc.parse::<u32>().ok());
                    self.repair.extend(repair.take(room));
                }
            }
            "max-message-size" => self.section.max_message_size = value.parse().ok(),
            _ => {}
        }
        Ok(())
    }

    fn ssrc(&mut self, value: &str) -> Result<(), &'static str> {
        let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let ssrc = ssrc.parse().map_err(|_| "the SSRC is not a number")?;
        let media = &mut self.section.media;
        if media.ssrcs.len() < MAX_SSRCS && !media.ssrcs.contains(&ssrc) {
            media.ssrcs.push(ssrc);
        }
        match attribute.split_once(':') {
            Some(("cname", cname)) => media.cname = Some(cname.to_owned()),
            Some(("msid", msid)) if media.msid.is_none() => {
                let (stream, track) = msid.split_once(' ').unwrap_or((msid, ""));
                media.msid = Some((stream.to_owned(), track.to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self, index: usize) -> Section {
        let mut section = self.section;
        if !self.has_mid {
            section.mid = index.to_string();
        }
        section.transport = self.transport.finish();
        let media = &mut section.media;
        media.ssrcs.retain(|ssrc| !self.repair.contains(ssrc));
        // In the order of preference that the `m=` line gives.
        let position = |codec: &Codec| {
            self.formats
                .iter()
                .position(|format| *format == codec.payload_type)
        };
        media.codecs.retain(|codec| position(codec).is_some());
        media.codecs.sort_by_key(position);
        self.formats.clear();
        section
    }
}

impl TransportReader {
    /// Whether the attribute was about transport.
    fn attribute(&mut self, name: &str, value: &str) -> Result<bool, &'static str> {
        match name {
            "ice-ufrag" => self.ufrag = Some(credential(value)?),
            "ice-pwd" => self.pwd = Some(credential(value)?),
            "fingerprint" => self.fingerprint = Some(fingerprint(value)?),
            "setup" => {
                self.setup = match value {
                    "active" => Some(Setup::Active),
                    "passive" => Some(Setup::Passive),
                    "actpass" => Some(Setup::ActPass),
                    "holdconn" => None,
                    _ => return Err("unknown setup"),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Transport {
        let ice = match (self.ufrag, self.pwd) {
            (Some(ufrag), Some(pwd)) => Some(IceCredentials { ufrag, pwd }),
            _ => None,
        };
        Transport {
            ice,
            fingerprint: self.fingerprint,
            setup: self.setup,
        }
    }
}

fn credential(value: &str) -> Result<String, &'static str> {
    if value.is_empty() || value.len() > MAX_CREDENTIAL {
        return Err("the credential is empty or too long");
    }
    Ok(value.to_owned())
}

/// `<payload type> <name>/<clock>[/<channels>]`
fn rtpmap(value: &str) -> Result<Codec, &'static str> {
    let (payload_type, description) = value.split_once(' ').ok_or("the rtpmap has no codec")?;
    let payload_type = payload_type
        .parse()
        .map_err(|_| "the payload type is not a number")?;
    let mut parts = description.trim().split('/');
    let name = parts
        .next()
        .filter(|name| !name.is_empty())
        .ok_or("the rtpmap has no codec")?;
    let clock_rate = parts.next().and_then(|clock| clock.parse().ok());
    Ok(Codec {
        payload_type,
        name: name.to_owned(),
        clock_rate: clock_rate.ok_or("the rtpmap has no clock rate")?,
        channels: parts.next().and_then(|channels| channels.parse().ok()),
        fmtp: None,
        feedback: Vec::new(),
    })
}

/// The codec that `<payload type> <value>` is about. `*` for all is not used by anybody.
fn find_codec<'codecs, 'value>(
    codecs: &'codecs mut [Codec],
    value: &'value str,
) -> Option<(&'codecs mut Codec, &'value str)> {
    let (payload_type, value) = value.split_once(' ')?;
    let payload_type: u8 = payload_type.parse().ok()?;
    let codec = codecs
        .iter_mut()
        .find(|codec| codec.payload_type == payload_type)?;
    Some((codec, value))
}

/// `<id>[/<direction>] <uri> [<attributes>]`
fn extmap(value: &str) -> Result<(u8, String), &'static str> {
    let mut words = value.split_ascii_whitespace();
    let id = words
        .next()
        .and_then(|id| id.split('/').next()?.parse().ok());
    let id = id.ok_or("the extension has no id")?;
    let uri = words.next().ok_or("the extension has no URI")?;
    Ok((id, uri.to_owned()))
}

/// `<hash> <hex>:<hex>:…`
fn fingerprint(value: &str) -> Result<Fingerprint, &'static str> {
    let (hash, digest) = value
        .trim()
        .split_once(' ')
        .ok_or("the fingerprint has no digest")?;
    let byte = |hex: &str| u8::from_str_radix(hex, 16);
    let digest = digest
        .trim()
        .split(':')
        .map(byte)
        .collect::<Result<Vec<u8>, _>>();
    let digest = digest.map_err(|_| "the fingerprint is not hexadecimal")?;
    if digest.len() > MAX_DIGEST {
        return Err("the fingerprint is too long");
    }
    Ok(Fingerprint {
        hash: hash.to_ascii_lowercase(),
        digest,
    })
}

fn error(line: &str, description: &str) -> SdpParseError {
    SdpParseError {
        line: line.to_owned(),
        description: description.to_owned(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
