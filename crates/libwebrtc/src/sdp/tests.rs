//! What is read of descriptions, and that what is written is read back.

use proptest::prelude::*;

use super::*;

const OFFER: &str = "v=0\r\n\
o=- 4611732 2 IN IP4 127.0.0.1\r\n\
s=-\r\n\
t=0 0\r\n\
a=group:BUNDLE 0 x\r\n\
a=ice-lite\r\n\
a=fingerprint:SHA-256 AB:CD:01\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n\
c=IN IP4 0.0.0.0\r\n\
a=mid:0\r\n\
a=ice-ufrag:abcd\r\n\
a=ice-pwd:secretsecretsecretsecret\r\n\
a=setup:actpass\r\n\
a=sendonly\r\n\
a=extmap:3/sendonly urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=rtpmap:111 opus/48000/2\r\n\
a=fmtp:111 minptime=10;useinbandfec=1\r\n\
a=rtcp-fb:111 transport-cc\r\n\
a=rtpmap:63 red/48000/2\r\n\
a=rtpmap:9 G722/8000\r\n\
a=ssrc-group:FID 7 8\r\n\
a=ssrc:7 cname:PA_x|TR_y\r\n\
a=ssrc:7 msid:PA_x|TR_y TR_y\r\n\
a=ssrc:8 cname:PA_x|TR_y\r\n\
a=candidate:1 1 udp 1 127.0.0.1 7882 typ host\r\n\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
a=mid:x\r\n\
a=max-message-size:1000\r\n";

#[test]
fn an_offer_of_a_server_is_read() {
    let session = parse(OFFER).unwrap();
    assert_eq!(session.origin, (4611732, 2));
    assert!(session.ice_lite);
    let [audio, data] = &session.sections[..] else {
        panic!("two sections")
    };
    assert_eq!((&audio.kind, audio.mid.as_str()), (&Kind::Audio, "0"));
    assert_eq!(audio.media.direction, Direction::SendOnly);
    let names: Vec<&str> = audio.media.codecs.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        ["red", "opus"],
        "in the order of the m= line, and no others"
    );
    assert_eq!(
        audio.media.codecs[1].fmtp.as_deref(),
        Some("minptime=10;useinbandfec=1")
    );
    assert_eq!(audio.media.codecs[1].feedback, ["transport-cc"]);
    assert_eq!(
        audio.media.extensions,
        [(3, "urn:ietf:params:rtp-hdrext:sdes:mid".to_owned())]
    );
    assert_eq!(audio.media.ssrcs, [7], "without the one of retransmissions");
    assert_eq!(
        audio.media.msid,
        Some(("PA_x|TR_y".to_owned(), "TR_y".to_owned()))
    );
    assert_eq!(audio.candidates.len(), 1);
    let transport = session.transport_of(audio);
    assert_eq!(transport.ice.unwrap().ufrag, "abcd");
    assert_eq!(transport.fingerprint.unwrap().digest, [0xab, 0xcd, 0x01]);
    assert_eq!(transport.setup, Some(Setup::ActPass));
    assert_eq!(
        (&data.kind, data.max_message_size),
        (&Kind::Data, Some(1000))
    );
    assert!(session.has_data());
}

#[test]
fn bare_line_feeds_are_line_ends_too() {
    assert_eq!(
        parse(&OFFER.replace("\r\n", "\n")).unwrap(),
        parse(OFFER).unwrap()
    );
}

#[test]
fn what_is_not_a_description_says_which_line() {
    for (text, line) in [
        ("", ""),
        ("hello", "hello"),
        ("v=0\r\nnonsense", "nonsense"),
        ("v=0\r\no=- x y", "o=- x y"),
        ("v=0\r\no=- 1 1\r\nm=audio", "m=audio"),
        (
            "v=0\r\no=- 1 1\r\nm=audio 9 A\r\na=rtpmap:x y",
            "a=rtpmap:x y",
        ),
        (
            "v=0\r\no=- 1 1\r\nm=audio 9 A\r\na=fingerprint:sha-256 zz",
            "a=fingerprint:sha-256 zz",
        ),
        (
            "v=0\r\no=- 1 1\r\nm=audio 9 A\r\na=mid:1\r\nm=audio 9 A\r\na=mid:1",
            "a=mid:1",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
    }
    assert!(parse("v=0\r\ns=-\r\n").is_err(), "without o=");
}

#[test]
fn what_is_there_too_often_is_kept_up_to_a_bound() {
    let lines = |line: fn(usize) -> String| (0..2_000).map(line).collect::<String>();
    let text = format!(
        "v=0\no=- 1 1\nm=audio 9 RTP/SAVPF{}\n{}{}{}{}{}{}",
        lines(|n| format!(" {}", n % 200)),
        lines(|n| format!("a=rtpmap:{} x/8000\n", n % 200)),
        lines(|n| format!("a=rtcp-fb:3 kind {n}\n")),
        lines(|n| format!("a=extmap:{} urn:x\n", n % 200)),
        lines(|n| format!("a=ssrc:{n} cname:x\n")),
        lines(|n| format!("a=ssrc-group:FID {n} {}\n", n + 1)),
        lines(|n| format!("a=candidate:{n}\n")),
    );
    let session = parse(&text).unwrap();
    let section = &session.sections[0];
    let media = &section.media;
    assert_eq!((media.codecs.len(), media.extensions.len()), (200, 200));
    let bounded = [
        (media.codecs[3].feedback.len(), 16),
        (section.candidates.len(), 64),
    ];
    assert!(bounded.iter().all(|(count, bound)| count == bound));
    assert!(media.ssrcs.len() <= 16);
}

#[test]
fn what_no_message_has_room_for_is_refused() {
    for line in [
        format!("a=ice-ufrag:{}", "x".repeat(257)),
        format!("a=ice-pwd:{}", "x".repeat(257)),
        "a=ice-ufrag:".to_owned(),
        format!("a=mid:{}", "x".repeat(65)),
        format!("a=fingerprint:sha-256 AB{}", ":AB".repeat(64)),
    ] {
        let text = format!("v=0\no=- 1 1\nm=audio 9 RTP/SAVPF 1\n{line}");
        assert_eq!(parse(&text).unwrap_err().line, line);
    }
}

#[test]
fn mids_that_the_transport_could_not_tell_apart_are_refused() {
    let with = |mid: &str| parse(&OFFER.replace("a=mid:x", &format!("a=mid:{mid}")));
    with("0123456789abcdef").unwrap();
    let error = with("0123456789abcdef1").unwrap_err();
    assert_eq!(error.line, "a=mid:0123456789abcdef1");
}

#[test]
fn what_is_written_is_read_back() {
    let session = parse(OFFER).unwrap();
    let again = parse(&session.to_string()).unwrap();
    let [mut audio, data] = <[Section; 2]>::try_from(again.sections).unwrap();
    assert_eq!(data, session.sections[1]);
    // The writer leaves transport attributes where they were read: in the section.
    audio.transport = session.sections[0].transport.clone();
    let expected = Section {
        candidates: audio.candidates.clone(),
        ..session.sections[0].clone()
    };
    assert_eq!(audio, expected);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("v=0\r\no=- 1 1 IN IP4 0\r\n{text}"));
    }

    #[test]
    fn no_damage_to_an_offer_makes_the_reader_panic(
        at in 0..OFFER.len(),
        length in 0_usize..40,
        put in "\\PC{0,10}",
    ) {
        let end = (at + length).min(OFFER.len());
        let damaged = format!("{}{put}{}", &OFFER[..at], &OFFER[end..]);
        if let Ok(session) = parse(&damaged) {
            let _ = session.to_string();
        }
    }
}
