//! The property that makes the proxy trustworthy: toxics that lose nothing lose nothing.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use proptest::prelude::*;

use super::tests::{Rig, pattern};
use super::*;
use crate::fault::Direction;
use crate::time::Span;

/// What happens to a connection.
#[derive(Debug, Clone)]
enum Step {
    Send { upstream: bool, len: usize },
    Apply(Toxic),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let direction = prop::sample::select(vec![Direction::Both, Direction::Upstream, Direction::Downstream]);
    let toxic = prop_oneof![
        (direction.clone(), 0u64..3_000, 0u64..3_000).prop_map(|(direction, latency, jitter)| {
            let (latency, jitter) = (Span::from_micros(latency), Span::from_micros(jitter));
            Toxic::Latency { latency, jitter, direction }
        }),
        (direction.clone(), 10_000_000u64..1_000_000_000)
            .prop_map(|(direction, bytes_per_second)| Toxic::Bandwidth { bytes_per_second, direction }),
        (0u64..3_000).prop_map(|delay| Toxic::SlowClose { delay: Span::from_micros(delay) }),
        (direction.clone(), 20_000u64..60_000, 0u64..20_000, 0u64..200).prop_map(
            |(direction, average_size, size_variation, delay)| {
                let delay = Span::from_micros(delay);
                Toxic::Slicer { average_size, size_variation, delay, direction }
            }
        ),
        direction.prop_map(|direction| Toxic::Partition { direction }),
    ];
    prop_oneof![
        4 => (any::<bool>(), 1usize..200_000).prop_map(|(upstream, len)| Step::Send { upstream, len }),
        2 => toxic.prop_map(Step::Apply),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_toxics_come_and_go_every_byte_arrives_in_order(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let rig = Rig::new();
        let (client, server) = rig.connect();
        let (client, server) = (&client, &server);
        let sent = |wanted| pattern(steps.iter().map(|step| match step {
            Step::Send { upstream, len } if *upstream == wanted => *len,
            _ => 0,
        }).sum());
        let (up, down) = (sent(true), sent(false));
        std::thread::scope(|scope| {
            let arrived = [server, client].map(|mut end| scope.spawn(move || {
                let mut bytes = Vec::new();
                end.read_to_end(&mut bytes).map(|_| bytes)
            }));
            // Writers of their own: a partition may hold them up until the clearing at the end.
            let (to_up, ups) = mpsc::channel::<usize>();
            let (to_down, downs) = mpsc::channel::<usize>();
            for (mut end, lens, bytes) in [(client, ups, &up), (server, downs, &down)] {
                scope.spawn(move || {
                    let mut rest = &bytes[..];
                    for len in lens {
                        end.write_all(&rest[..len]).unwrap();
                        rest = &rest[len..];
                    }
                    end.shutdown(Shutdown::Write).unwrap();
                });
            }
            for step in &steps {
                match step {
                    Step::Send { upstream: true, len } => to_up.send(*len).unwrap(),
                    Step::Send { upstream: false, len } => to_down.send(*len).unwrap(),
                    Step::Apply(toxic) => _ = rig.apply(*toxic),
                    Step::Clear => _ = rig.clear(),
                }
            }
            drop((to_up, to_down));
            rig.clear();
            let [at_server, at_client] = arrived.map(|thread| thread.join().unwrap().unwrap());
            assert!(at_server == up, "{} of {} bytes upstream", at_server.len(), up.len());
            assert!(at_client == down, "{} of {} bytes downstream", at_client.len(), down.len());
        });
    }
}
