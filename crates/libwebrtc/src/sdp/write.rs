//! From [`Session`] to text.

use std::fmt::{self, Display, Formatter};

use super::{Codec, Direction, Fingerprint, Kind, Section, Session, Setup};

/// Stands where an address is due that ICE will provide.
const NO_ADDRESS: &str = "c=IN IP4 0.0.0.0";

impl Display for Session {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (id, version) = self.origin;
        write!(
            f,
            "v=0\r\no=- {id} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        )?;
        write!(f, "a=group:BUNDLE")?;
        for section in self.sections.iter().filter(|section| !section.is_refused()) {
            write!(f, " {}", section.mid)?;
        }
        write!(f, "\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n")?;
        self.sections.iter().try_for_each(|section| section.fmt(f))
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Audio => "audio",
            Kind::Video => "video",
            Kind::Data => "application",
            Kind::Other(kind) => kind,
        };
        write!(f, "m={kind} {} {}", self.port, self.protocol)?;
        match self.kind {
            Kind::Data => write!(f, " webrtc-datachannel")?,
            _ if self.media.codecs.is_empty() => write!(f, " 0")?,
            _ => self
                .media
                .codecs
                .iter()
                .try_for_each(|c| write!(f, " {}", c.payload_type))?,
        }
        write!(f, "\r\n{NO_ADDRESS}\r\n")?;
        write!(f, "a=mid:{}\r\n", self.mid)?;
        if self.is_refused() {
            return write!(f, "a=inactive\r\n");
        }
        self.write_transport(f)?;
        if self.is_media() {
            self.write_media(f)?;
        }
        if self.kind == Kind::Data {
            write!(f, "a=sctp-port:5000\r\n")?;
        }
        if let Some(size) = self.max_message_size {
            write!(f, "a=max-message-size:{size}\r\n")?;
        }
        Ok(())
    }
}

impl Section {
    fn write_transport(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for candidate in &self.candidates {
            write!(f, "a={candidate}\r\n")?;
        }
        if let Some(ice) = &self.transport.ice {
            write!(f, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag, ice.pwd)?;
            write!(f, "a=ice-options:trickle\r\n")?;
        }
        if let Some(fingerprint) = &self.transport.fingerprint {
            write!(f, "a=fingerprint:{fingerprint}\r\n")?;
        }
        match self.transport.setup {
            Some(Setup::Active) => write!(f, "a=setup:active\r\n"),
            Some(Setup::Passive) => write!(f, "a=setup:passive\r\n"),
            Some(Setup::ActPass) => write!(f, "a=setup:actpass\r\n"),
            None => Ok(()),
        }
    }

    fn write_media(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let media = &self.media;
        for (id, uri) in &media.extensions {
            write!(f, "a=extmap:{id} {uri}\r\n")?;
        }
        let direction = match media.direction {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive | Direction::Stopped => "inactive",
        };
        write!(f, "a={direction}\r\n")?;
        if let Some((stream, track)) = &media.msid {
            write!(f, "a=msid:{stream} {track}\r\n")?;
        }
        write!(f, "a=rtcp-mux\r\na=rtcp-rsize\r\n")?;
        media.codecs.iter().try_for_each(|codec| codec.fmt(f))?;
        for ssrc in &media.ssrcs {
            if let Some(cname) = &media.cname {
                write!(f, "a=ssrc:{ssrc} cname:{cname}\r\n")?;
            }
            if let Some((stream, track)) = &media.msid {
                write!(f, "a=ssrc:{ssrc} msid:{stream} {track}\r\n")?;
            }
        }
        Ok(())
    }
}

impl Display for Codec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            payload_type,
            name,
            clock_rate,
            ..
        } = self;
        write!(f, "a=rtpmap:{payload_type} {name}/{clock_rate}")?;
        if let Some(channels) = self.channels {
            write!(f, "/{channels}")?;
        }
        write!(f, "\r\n")?;
        for feedback in &self.feedback {
            write!(f, "a=rtcp-fb:{payload_type} {feedback}\r\n")?;
        }
        if let Some(fmtp) = &self.fmtp {
            write!(f, "a=fmtp:{payload_type} {fmtp}\r\n")?;
        }
        Ok(())
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash)?;
        for (index, byte) in self.digest.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}
