//! Tests of `balance`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{Address, Balance, Host};

fn endpoints(weights: &[u32]) -> Vec<Arc<Endpoint>> {
    let address = Address {
        host: Host::Ip([127, 0, 0, 1].into()),
        port: 80,
    };
    weights
        .iter()
        .map(|weight| Arc::new(Endpoint::new(0, address.clone(), *weight)))
        .collect()
}

const ALL: [Balance; 4] = [
    Balance::PeakEwma,
    Balance::LeastRequests,
    Balance::RoundRobin,
    Balance::Random,
];

fn shares(balance: &dyn Pick, endpoints: &[Arc<Endpoint>], turns: u32) -> Vec<f64> {
    let mut counts = vec![0_u32; endpoints.len()];
    for _ in 0..turns {
        counts[balance
            .pick(&Candidates::all(endpoints))
            .expect("there are endpoints")] += 1;
    }
    counts
        .into_iter()
        .map(|count| f64::from(count) / f64::from(turns))
        .collect()
}

#[test]
fn idle_endpoints_share_by_weight() {
    let endpoints = endpoints(&[1, 2, 5]);
    for balance in [Balance::LeastRequests, Balance::RoundRobin, Balance::Random] {
        let shares = shares(&*of(balance), &endpoints, 80_000);
        for (share, weight) in shares.iter().zip([1.0, 2.0, 5.0]) {
            assert!(
                (share - weight / 8.0).abs() < 0.02,
                "{balance:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn round_robin_takes_equal_endpoints_in_turn() {
    let endpoints = endpoints(&[1, 1, 1]);
    let balance = of(Balance::RoundRobin);
    let turns: Vec<_> = (0..6)
        .filter_map(|_| balance.pick(&Candidates::all(&endpoints)))
        .collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn least_requests_avoids_the_busy_one_of_two() {
    let endpoints = endpoints(&[1, 1]);
    let _busy = endpoints[0].enter();
    assert_eq!(
        shares(&*of(Balance::LeastRequests), &endpoints, 100),
        [0.0, 1.0]
    );
}

#[test]
fn peak_ewma_avoids_the_slow_and_the_failing_one_of_two() {
    for is_failed in [false, true] {
        let endpoints = endpoints(&[1, 1]);
        let took = if is_failed {
            Duration::from_micros(10)
        } else {
            Duration::from_millis(300)
        };
        endpoints[0].observe(took, is_failed);
        endpoints[1].observe(Duration::from_millis(3), false);
        assert_eq!(shares(&*of(Balance::PeakEwma), &endpoints, 100), [0.0, 1.0]);
    }
}

proptest! {
    #[test]
    fn a_retry_avoids_what_was_tried_until_all_were(
        weights in proptest::collection::vec(1_u32..20, 1..12),
        tried in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let endpoints = endpoints(&weights);
        let tried: Vec<usize> = tried.iter().map(|index| index.index(weights.len())).collect();
        let mut distinct = tried.clone();
        distinct.sort_unstable();
        distinct.dedup();
        for balance in ALL.map(of) {
            let mut candidates = Candidates::all(&endpoints);
            if distinct.len() < weights.len() {
                distinct.iter().for_each(|place| candidates.bar(*place));
            } else {
                tried.iter().for_each(|place| candidates.bar(*place));
            }
            let picked = balance.pick(&candidates).expect("one is always left");
            prop_assert!(picked < weights.len());
            if distinct.len() < weights.len() {
                prop_assert!(!distinct.contains(&picked));
            }
        }
    }
}
