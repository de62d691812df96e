//! Tests of `cap`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A reason by rank and a route.
type Came = (usize, u16);

fn facts(route: u16) -> Facts {
    (1, Some(route), 0, 1.0_f64.to_bits())
}

fn take(cap: &mut Cap<Came>, (rank, route): Came) {
    cap.take(KeepReason::ALL[rank], facts(route), || (rank, route));
}

fn counted<K: Ord + Copy>(of: impl Iterator<Item = (K, f64)>) -> BTreeMap<K, f64> {
    let mut sums = BTreeMap::new();
    of.for_each(|(key, weight)| *sums.entry(key).or_default() += weight);
    sums
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6 * one.max(other).max(1.0)
}

fn what_came() -> impl Strategy<Value = Vec<Came>> {
    // Bursts of one kind, as traffic has them.
    let burst = ((0_usize..REASONS, 0_u16..6), 1_usize..60);
    prop::collection::vec(burst, 0..40).prop_map(|bursts| {
        let items = bursts.into_iter();
        items.flat_map(|(came, count)| vec![came; count]).collect()
    })
}

proptest! {
    #[test]
    fn sums_are_exact_and_the_cap_holds(all in what_came(), most in 1_usize..200, seed: u64) {
        let mut cap = Cap::seeded(most, seed);
        for came in &all {
            take(&mut cap, *came);
            prop_assert!(cap.held <= 2 * most, "{} are held", cap.held);
            let items: usize = cap.strata.values().map(|stratum| stratum.items.len()).sum();
            prop_assert_eq!(items, cap.held);
        }
        let second = cap.close();
        prop_assert!(second.passed.len() <= most);
        prop_assert_eq!(second.passed.len() as u64 + second.shed.iter().sum::<u64>(), all.len() as u64);
        let whole: f64 = second.passed.iter().map(|(_, weight)| weight).sum();
        prop_assert!(is_near(whole, all.len() as f64), "{whole} for {}", all.len());

        let wanted = counted(all.iter().map(|came| (*came, 1.0)));
        if wanted.len() <= most {
            let found = counted(second.passed.iter().copied());
            prop_assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
            for (came, count) in &wanted {
                prop_assert!(is_near(found[came], *count), "{came:?}: {} for {count}", found[came]);
            }
        }
        let reasons = counted(all.iter().map(|(rank, _)| (*rank, 1.0)));
        if reasons.len() <= most && wanted.len() > most {
            let found = counted(second.passed.iter().map(|((rank, _), weight)| (*rank, *weight)));
            for (rank, count) in &reasons {
                prop_assert!(is_near(found[rank], *count), "reason {rank}: {} for {count}", found[rank]);
            }
        }
        prop_assert!(cap.close().passed.is_empty(), "the next second is a new one");
    }

    #[test]
    fn the_least_interesting_are_shed_first(all in what_came(), most in 48_usize..200, seed: u64) {
        let mut cap = Cap::seeded(most, seed);
        all.iter().for_each(|came| take(&mut cap, *came));
        let second = cap.close();
        let is_shed = |rank: &usize| second.shed[*rank] > 0;
        if let Some(first) = (0..REASONS).find(is_shed) {
            // What comes after the first reason that was shed has but one place a stratum.
            let passed = counted(second.passed.iter().map(|(came, _)| (*came, 1.0)));
            for ((rank, route), count) in passed {
                prop_assert!(rank <= first || count <= 1.0, "{rank} {route}: {count}");
            }
        }
        let came = all.len();
        prop_assert!(came > most || second.passed.len() == came, "there was room for all");
        // Evenly within a reason, so that at most one place a stratum is left over.
        prop_assert!(came <= most || second.passed.len() + 48 >= most);
    }
}

#[test]
fn each_has_the_same_chance() {
    // A thousand come, and memory is brought down many times on the way: the first must not fare better than the last.
    let (rounds, came, most) = (4_000, 300, 10);
    let mut passed = vec![0_u32; came];
    for seed in 0..rounds {
        let mut cap = Cap::seeded(most, seed);
        for item in 0..came {
            cap.take(KeepReason::Head, facts(0), || item);
        }
        for (item, factor) in cap.close().passed {
            assert!(is_near(factor, 30.0));
            passed[item] += 1;
        }
    }
    let mean = f64::from(u32::try_from(rounds).expect("few")) * 10.0 / 300.0;
    for (item, count) in passed.into_iter().enumerate() {
        let off = (f64::from(count) - mean).abs() / mean.sqrt();
        assert!(off < 5.0, "{item}: {count}, not about {mean}");
    }
}

#[test]
fn merged_strata_stand_for_each_other_on_average() {
    // Twelve routes share three places: of which route the spans are is chance, and right on average.
    let rounds = 6_000;
    let mut sums = [0.0; 12];
    for seed in 0..rounds {
        let mut cap = Cap::seeded(3, seed);
        for route in 0..12_u16 {
            (0..=route).for_each(|_| take(&mut cap, (7, route)));
        }
        let second = cap.close();
        assert_eq!(second.passed.len(), 3);
        for ((_, route), factor) in second.passed {
            sums[usize::from(route)] += factor;
        }
    }
    for (route, sum) in sums.into_iter().enumerate() {
        let (mean, want) = (
            sum / f64::from(u32::try_from(rounds).expect("few")),
            route as f64 + 1.0,
        );
        assert!(
            (mean - want).abs() < 0.25 * want.max(2.0),
            "{route}: {mean}, not {want}"
        );
    }
}
