use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::super::profile::{Jitter, Loss, Order, Profile, Rate, Share};
use super::{Counters, Link};

const SEED: u64 = 7;

/// The interval of a phone's packets.
const INTERVAL: Duration = ms(20);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What became of packets that were offered at a steady pace.
struct Passage {
    /// What came out, in that order: which packet, and how long it took.
    arrivals: Vec<(usize, Duration)>,
    counters: Counters,
}

impl Passage {
    fn of(packets: usize, profile: Profile) -> Self {
        Self::with_seed(SEED, packets, profile)
    }

    fn with_seed(seed: u64, packets: usize, profile: Profile) -> Self {
        let mut link = Link::new(seed);
        link.set(profile);
        let start = Instant::now();
        let offered_at = |number: usize| start + INTERVAL * number as u32;
        let mut arrivals = Vec::new();
        for number in 0..=packets {
            // The last round only collects what is still on its way.
            let over = number == packets;
            while let Some(due) = link.next_due()
                && (over || due <= offered_at(number))
            {
                let packet = link.take_due(due).expect("it is due");
                let which = usize::from_le_bytes(packet[..8].try_into().expect("a number"));
                arrivals.push((which, due - offered_at(which)));
            }
            if !over {
                link.offer(offered_at(number), packet(number, 100));
            }
        }
        Self {
            arrivals,
            counters: link.counters,
        }
    }

    fn numbers(&self) -> Vec<usize> {
        self.arrivals.iter().map(|&(number, _)| number).collect()
    }

    fn mean_delay(&self) -> Duration {
        let all: Duration = self.arrivals.iter().map(|&(_, delay)| delay).sum();
        all / self.arrivals.len() as u32
    }
}

fn packet(number: usize, bytes: usize) -> Bytes {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(bytes, 0);
    data.into()
}

/// Lengths of the runs of missing packets.
fn bursts(arrived: &[usize]) -> Vec<usize> {
    arrived
        .windows(2)
        .map(|pair| pair[1] - pair[0] - 1)
        .filter(|missing| *missing > 0)
        .collect()
}

#[test]
fn a_perfect_wire_delivers_everything_at_once_and_in_order() {
    let passage = Passage::of(100, Profile::default());
    let expected: Vec<_> = (0..100).map(|number| (number, Duration::ZERO)).collect();
    assert_eq!(passage.arrivals, expected);
    assert_eq!(passage.counters.delivered, passage.counters.offered);
    assert_eq!(passage.counters.offered.bytes, 10_000);
}

#[test]
fn random_loss_takes_its_share_in_bursts_of_hardly_more_than_one() {
    let loss = Loss::Random {
        share: Share::percent(5.0),
    };
    let passage = Passage::of(
        50_000,
        Profile {
            loss,
            ..Profile::default()
        },
    );
    let lost = passage.counters.lost.packets as f64 / 50_000.0;
    assert!((0.045..0.055).contains(&lost), "{lost}");
    let bursts = bursts(&passage.numbers());
    let mean = bursts.iter().sum::<usize>() as f64 / bursts.len() as f64;
    // 1 / (1 - 0.05)
    assert!((1.03..1.08).contains(&mean), "{mean}");
}

#[test]
fn bursty_loss_takes_its_share_in_bursts_of_the_mean_length() {
    let loss = Loss::Bursty {
        share: Share::percent(5.0),
        mean_burst: 4.0,
    };
    let passage = Passage::of(
        200_000,
        Profile {
            loss,
            ..Profile::default()
        },
    );
    let lost = passage.counters.lost.packets as f64 / 200_000.0;
    assert!((0.045..0.055).contains(&lost), "{lost}");
    let bursts = bursts(&passage.numbers());
    let mean = bursts.iter().sum::<usize>() as f64 / bursts.len() as f64;
    assert!((3.7..4.3).contains(&mean), "{mean}");
}

#[test]
fn the_same_seed_loses_the_same_packets_whatever_else_happens() {
    let loss = Loss::Random {
        share: Share::percent(10.0),
    };
    let plain = Profile {
        loss,
        ..Profile::default()
    };
    let jittery = Profile {
        delay: ms(100),
        jitter: Jitter::Normal { deviation: ms(20) },
        order: Order::ByDelay,
        ..plain.clone()
    };
    let one = Passage::of(1_000, plain.clone()).numbers();
    let mut other = Passage::of(1_000, jittery).numbers();
    assert_ne!(one, other, "jitter reorders");
    other.sort_unstable();
    assert_eq!(one, other);
    let strange = Passage::with_seed(SEED + 1, 1_000, plain).numbers();
    assert_ne!(one, strange, "another seed, another fate");
}

#[test]
fn uniform_jitter_stays_within_its_spread_and_around_the_delay() {
    let passage = Passage::of(
        10_000,
        Profile {
            delay: ms(40),
            jitter: Jitter::Uniform { spread: ms(20) },
            order: Order::ByDelay,
            ..Profile::default()
        },
    );
    assert!(
        passage
            .arrivals
            .iter()
            .all(|(_, delay)| (ms(20)..=ms(60)).contains(delay))
    );
    let mean = passage.mean_delay();
    assert!((ms(39)..ms(41)).contains(&mean), "{mean:?}");
    // Neighbours are 20 ms apart and vary by up to 40: an eighth are overtaken.
    let overtaken = passage.counters.overtaken.packets;
    assert!((1_000..1_500).contains(&overtaken), "{overtaken}");
}

#[test]
fn normal_jitter_has_its_deviation() {
    let deviation = ms(10);
    let passage = Passage::of(
        10_000,
        Profile {
            delay: ms(100),
            jitter: Jitter::Normal { deviation },
            order: Order::ByDelay,
            ..Profile::default()
        },
    );
    let within = passage
        .arrivals
        .iter()
        .filter(|(_, delay)| delay.abs_diff(ms(100)) <= deviation)
        .count();
    // 68 %.
    assert!((6_500..7_100).contains(&within), "{within}");
}

#[test]
fn exponential_jitter_only_adds_its_mean() {
    let passage = Passage::of(
        10_000,
        Profile {
            delay: ms(30),
            jitter: Jitter::Exponential { mean: ms(10) },
            order: Order::ByDelay,
            ..Profile::default()
        },
    );
    assert!(passage.arrivals.iter().all(|(_, delay)| *delay >= ms(30)));
    let mean = passage.mean_delay();
    assert!((ms(39)..ms(41)).contains(&mean), "{mean:?}");
}

#[test]
fn where_order_is_kept_jitter_makes_bursts_and_no_packet_overtakes() {
    let passage = Passage::of(
        10_000,
        Profile {
            delay: ms(60),
            jitter: Jitter::Uniform { spread: ms(50) },
            ..Profile::default()
        },
    );
    assert!(passage.numbers().is_sorted());
    assert_eq!(passage.counters.overtaken.packets, 0);
    assert!(passage.mean_delay() > ms(60), "{:?}", passage.mean_delay());
}

#[test]
fn late_packets_are_overtaken_and_the_others_keep_their_order() {
    let passage = Passage::of(
        10_000,
        Profile {
            delay: ms(30),
            order: Order::Late {
                share: Share::percent(10.0),
                by: ms(50),
            },
            ..Profile::default()
        },
    );
    let (late, punctual): (Vec<_>, Vec<_>) = passage
        .arrivals
        .iter()
        .partition(|(_, delay)| *delay > ms(30));
    assert!((900..1_100).contains(&late.len()), "{}", late.len());
    assert!(late.iter().all(|(_, delay)| *delay == ms(80)));
    assert!(punctual.iter().is_sorted());
    assert!(passage.counters.overtaken.packets > 850);
}

#[test]
fn duplicates_come_twice_in_a_row() {
    let passage = Passage::of(
        1_000,
        Profile {
            duplicate: Share::percent(20.0),
            ..Profile::default()
        },
    );
    let twice = passage
        .numbers()
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .count() as u64;
    assert_eq!(twice, passage.counters.duplicated.packets);
    assert!((150..250).contains(&twice), "{twice}");
    assert_eq!(passage.counters.delivered.packets, 1_000 + twice);
    assert_eq!(passage.counters.overtaken.packets, 0);
}

#[test]
fn a_bottleneck_spaces_packets_out_and_drops_what_does_not_fit() {
    let mut link = Link::new(SEED);
    link.set(Profile {
        rate: Some(Rate {
            // A packet of 100 bytes takes 10 ms.
            bits_per_second: 80_000,
            queue_bytes: 300,
        }),
        ..Profile::default()
    });
    let start = Instant::now();
    for number in 0..5 {
        link.offer(start, packet(number, 100));
    }
    let mut leaves = Vec::new();
    while let Some(due) = link.next_due() {
        link.take_due(due).expect("it is due");
        leaves.push(due - start);
    }
    assert_eq!(leaves, [ms(10), ms(20), ms(30)]);
    assert_eq!(link.counters.overflowed.packets, 2);
    // When the queue has emptied there is room again.
    link.offer(start + ms(30), packet(5, 100));
    assert_eq!(link.next_due(), Some(start + ms(40)));
}

#[test]
fn an_outage_loses_what_is_offered_and_delivers_what_is_on_its_way() {
    let mut link = Link::new(SEED);
    link.set(Profile::delayed(ms(50)));
    let start = Instant::now();
    link.offer(start, packet(0, 100));
    link.set_outage(true);
    link.offer(start + ms(10), packet(1, 100));
    assert_eq!(link.take_due(start + ms(49)), None);
    assert_eq!(link.take_due(start + ms(50)), Some(packet(0, 100)));
    link.set_outage(false);
    link.offer(start + ms(60), packet(2, 100));
    assert_eq!(link.take_due(start + ms(110)), Some(packet(2, 100)));
    assert_eq!(link.counters.cut.packets, 1);
}

#[test]
fn a_new_profile_overtakes_nothing_where_order_is_kept() {
    let mut link = Link::new(SEED);
    let start = Instant::now();
    link.set(Profile::delayed(ms(500)));
    link.offer(start, packet(0, 100));
    link.set(Profile::default());
    link.offer(start + ms(1), packet(1, 100));
    assert_eq!(link.take_due(start + ms(499)), None);
    assert_eq!(link.take_due(start + ms(500)), Some(packet(0, 100)));
    assert_eq!(link.take_due(start + ms(500)), Some(packet(1, 100)));
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Kept),
        Just(Order::ByDelay),
        (0.0..=100.0, 0_u64..100).prop_map(|(percent, by)| Order::Late {
            share: Share::percent(percent),
            by: ms(by),
        }),
    ]
}

fn losses() -> impl Strategy<Value = Loss> {
    prop_oneof![
        Just(Loss::None),
        (0.0..=100.0).prop_map(|percent| Loss::Random {
            share: Share::percent(percent)
        }),
        (0.0..99.0, 1.0..10.0).prop_map(|(percent, mean_burst)| Loss::Bursty {
            share: Share::percent(percent),
            mean_burst,
        }),
    ]
}

fn jitters() -> impl Strategy<Value = Jitter> {
    (0_u64..200, 0..4).prop_map(|(n, kind)| match kind {
        0 => Jitter::None,
        1 => Jitter::Uniform { spread: ms(n) },
        2 => Jitter::Normal { deviation: ms(n) },
        _ => Jitter::Exponential { mean: ms(n) },
    })
}

proptest! {
    #[test]
    fn every_packet_is_accounted_for(
        seed: u64,
        delay in 0_u64..200,
        jitter in jitters(),
        loss in losses(),
        order in orders(),
        duplicate in 0.0..=100.0,
        rate in proptest::option::of((1_000_u64..1_000_000, 0_usize..10_000)),
    ) {
        let passage = Passage::with_seed(seed, 300, Profile {
            delay: ms(delay),
            jitter,
            loss,
            order,
            duplicate: Share::percent(duplicate),
            rate: rate.map(|(bits_per_second, queue_bytes)| Rate { bits_per_second, queue_bytes }),
        });
        let counters = passage.counters;
        prop_assert_eq!(
            counters.offered.packets + counters.duplicated.packets,
            counters.delivered.packets + counters.lost.packets + counters.overflowed.packets
        );
        prop_assert_eq!(passage.arrivals.len() as u64, counters.delivered.packets);
        if order == Order::Kept {
            prop_assert!(passage.numbers().is_sorted());
        }
    }
}
