//! What RTCP and ICE tell about a connection, kept for statistics and for the encoder.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

/// One piece of news from the transport.
pub(super) enum Report {
    /// What the peer says about what we send in a section.
    Sent(SentReport),
    /// What there is to say about what we receive in a section.
    Received(ReceivedReport),
    /// The peer says what it has sent in a section, and when it says so by its own clock.
    Sender { at: SystemTime },
    /// The path in use, and how long it takes there and back.
    Path(Path),
}

/// What the peer says about a stream of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct SentReport {
    /// Of what was sent since the report before; `None` where there was none since.
    pub(super) fraction_lost: Option<f32>,
    /// Since the beginning.
    pub(super) lost: Option<i64>,
    pub(super) jitter_ticks: u32,
    pub(super) round_trip: Option<Duration>,
    /// How often the peer asked for packets again.
    pub(super) nacks: u64,
}

/// What there is to say about a stream of the peer's, beside what its packets say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ReceivedReport {
    /// How often we asked for packets again.
    pub(super) nacks: u64,
    /// Packets and bytes that the peer says it sent.
    pub(super) sent_by_peer: Option<(u64, u64)>,
    pub(super) round_trip: Option<Duration>,
}

/// The pair of candidates in use.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub(super) protocol: &'static str,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) round_trip: Option<Duration>,
    pub(super) total_round_trip: Duration,
    pub(super) responses: u64,
}

/// Times there and back.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RoundTrips {
    pub(super) last: Option<Duration>,
    pub(super) total: Duration,
    pub(super) count: u64,
}

impl RoundTrips {
    fn add(&mut self, round_trip: Option<Duration>) {
        if let Some(round_trip) = round_trip {
            self.last = Some(round_trip);
            self.total += round_trip;
            self.count += 1;
        }
    }
}

/// How much of a report of loss is believed: single reports cover some fifty packets only.
const LOSS_SMOOTHING: f32 = 0.3;

/// Everything told about one transceiver.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reports {
    pub(super) sent: SentReport,
    pub(super) sent_at: Option<Instant>,
    pub(super) sent_trips: RoundTrips,
    /// Lost of late, of 1.
    pub(super) loss: f32,
    pub(super) received: ReceivedReport,
    pub(super) received_trips: RoundTrips,
    /// When the peer last said what it had sent, by its own clock, and how often it has.
    pub(super) sender_time: Option<SystemTime>,
    pub(super) sender_reports: u64,
}

impl Reports {
    pub(super) fn sent(&mut self, now: Instant, report: SentReport) {
        if let Some(lost) = report.fraction_lost {
            // Worse is believed at once, better only when it lasts.
            let weight = if lost > self.loss {
                1.0
            } else {
                LOSS_SMOOTHING
            };
            self.loss += (lost - self.loss) * weight;
            self.sent_at = Some(now);
            self.sent_trips.add(report.round_trip);
        }
        let fraction_lost = report.fraction_lost.or(self.sent.fraction_lost);
        self.sent = SentReport {
            fraction_lost,
            ..report
        };
    }

    pub(super) fn received(&mut self, report: ReceivedReport) {
        if report.round_trip != self.received.round_trip {
            self.received_trips.add(report.round_trip);
        }
        self.received = report;
    }

    pub(super) fn sender(&mut self, at: SystemTime) {
        self.sender_time = Some(at);
        self.sender_reports += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(fraction: Option<f32>) -> SentReport {
        SentReport {
            fraction_lost: fraction,
            round_trip: Some(Duration::from_millis(40)),
            ..SentReport::default()
        }
    }

    #[test]
    fn loss_is_believed_at_once_and_forgotten_slowly() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        reports.sent(now, lost(Some(0.1)));
        assert!((reports.loss - 0.1).abs() < 1e-6);
        reports.sent(now, lost(Some(0.0)));
        assert!((reports.loss - 0.07).abs() < 1e-6);
        for _ in 0..10 {
            reports.sent(now, lost(Some(0.0)));
        }
        assert!(reports.loss < 0.005);
    }

    #[test]
    fn a_poll_without_a_new_report_counts_no_round_trip() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        reports.sent(now, lost(Some(0.1)));
        reports.sent(now, lost(None));
        assert_eq!(reports.sent_trips.count, 1);
        assert_eq!(reports.sent.fraction_lost, Some(0.1));
    }
}
