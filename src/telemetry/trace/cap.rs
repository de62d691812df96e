//! The rate cap: at most so many traces a second, the least interesting shed first, and every sum of weights still right.
//!
//! What is kept within a second is held until the second is over, sorted into strata: those of one reason, route,
//! outcome and head weight. Then the cap is shared out. Each stratum has one place at the least, so that nothing that
//! happened vanishes; the other places go to the reasons in the order of their interest, within a reason evenly (a small
//! stratum is kept whole before a large one gets more). Of a stratum of `n` that got `k` places, `k` at random are let
//! through, each with the weight `n / k`: its sum of weights is `n`, exactly.
//!
//! With more strata than places the least interesting reason's are merged into one, then the next one's; in the end,
//! with a cap below eight, reasons are. Sums are then exact for what was merged, and right on average within it.
//!
//! Memory is bounded: whenever twice the cap is held, places are shared out as if the second were over. That loses
//! nothing that would be let through later, since a stratum's places only become fewer while more comes; from then on its
//! places are a reservoir (Vitter, "Random Sampling with a Reservoir", 1985, algorithm R).
//!
//! The SDKs' way, a token bucket in front of the queue, was rejected: it lets through what comes first in each second, and
//! nobody knows afterwards for how much it stands.

use std::collections::BTreeMap;

use crate::exchange::KeepReason;

/// Holds what is kept within a second, and lets so much of it through.
#[derive(Debug)]
pub(super) struct Cap<T> {
    most: usize,
    strata: BTreeMap<Key, Stratum<T>>,
    held: usize,
    /// How far strata have been merged, see [`Key::new`].
    merged: usize,
    /// How many came, by reason.
    came: [u64; REASONS],
    random: fastrand::Rng,
}

/// What a second lets through.
#[derive(Debug)]
pub(super) struct Second<T> {
    /// Each with the factor by which it stands for more than before.
    pub(super) passed: Vec<(T, f64)>,
    /// How many were shed, in the order of [`KeepReason::ALL`].
    pub(super) shed: [u64; REASONS],
}

/// What tells the strata of a reason apart: generation and place of the route, the outcome, and the bits of the weight
/// that the head share gave.
pub(super) type Facts = (u32, Option<u16>, u8, u64);

/// A stratum: a reason by its rank, and what tells it apart unless that was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(usize, Option<Facts>);

#[derive(Debug)]
struct Stratum<T> {
    /// How many came.
    seen: u64,
    /// How many it may hold.
    places: usize,
    /// A uniform sample of what came, each with the rank of its reason.
    items: Vec<(usize, T)>,
}

const REASONS: usize = KeepReason::ALL.len();

// === impl Cap ===

impl<T> Cap<T> {
    /// Lets `most` through, at least 1.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            strata: BTreeMap::new(),
            held: 0,
            merged: 0,
            came: [0; REASONS],
            random: fastrand::Rng::new(),
        }
    }

    /// One that chooses the same each time.
    #[cfg(test)]
    fn seeded(most: usize, seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            ..Self::new(most)
        }
    }

    /// Takes one; `item` is asked only where it is held.
    pub(super) fn take(&mut self, reason: KeepReason, facts: Facts, item: impl FnOnce() -> T) {
        let rank = reason as usize;
        self.came[rank] += 1;
        let key = Key::new(rank, Some(facts), self.merged);
        let stratum = self.strata.entry(key).or_default();
        stratum.seen += 1;
        if stratum.items.len() < stratum.places {
            stratum.items.push((rank, item()));
            self.held += 1;
            if self.held > 2 * self.most {
                self.share_out();
            }
        } else {
            let at = usize::try_from(self.random.u64(0..stratum.seen));
            if let Some(place) = at.ok().and_then(|at| stratum.items.get_mut(at)) {
                *place = (rank, item());
            }
        }
    }

    /// The second is over.
    pub(super) fn close(&mut self) -> Second<T> {
        self.share_out();
        let mut shed = std::mem::take(&mut self.came);
        let mut passed = Vec::with_capacity(self.held);
        for stratum in std::mem::take(&mut self.strata).into_values() {
            let factor = stratum.factor();
            for (rank, item) in stratum.items {
                shed[rank] -= 1;
                passed.push((item, factor));
            }
        }
        (self.held, self.merged) = (0, 0);
        Second { passed, shed }
    }

    /// Brings what is held down to the cap.
    fn share_out(&mut self) {
        while self.strata.len() > self.most {
            self.merge();
        }
        let mut left = self.most - self.strata.len();
        let ranks: Vec<usize> = self.strata.keys().map(|key| key.0).collect();
        for group in ranks.chunk_by(|one, other| one == other) {
            let rank = group[0];
            // Each has one place; of the rest, those that want few are served before those that want more.
            let wishes = self.strata.range(Key(rank, None)..Key(rank + 1, None));
            let mut wishes: Vec<_> = wishes
                .map(|(key, stratum)| (as_size(stratum.seen - 1), *key))
                .collect();
            wishes.sort_unstable();
            let mut waiting = wishes.len();
            for (wish, key) in wishes {
                let share = wish.min(left / waiting);
                (left, waiting) = (left - share, waiting - 1);
                if let Some(stratum) = self.strata.get_mut(&key) {
                    stratum.shrink(1 + share, &mut self.random);
                }
            }
        }
        self.held = self
            .strata
            .values()
            .map(|stratum| stratum.items.len())
            .sum();
    }

    /// Merges strata by one more step.
    fn merge(&mut self) {
        self.merged += 1;
        for (Key(rank, facts), stratum) in std::mem::take(&mut self.strata) {
            let key = Key::new(rank, facts, self.merged);
            let merged = match self.strata.remove(&key) {
                Some(other) => other.with(stratum, &mut self.random),
                None => stratum,
            };
            self.strata.insert(key, merged);
        }
    }
}

// === impl Key ===

impl Key {
    /// Of the `merged` least interesting reasons nothing but the reason tells strata apart; beyond all reasons, the
    /// least interesting two are one, then three.
    fn new(rank: usize, facts: Option<Facts>, merged: usize) -> Self {
        if merged >= REASONS {
            let last = (2 * REASONS).saturating_sub(merged + 1);
            return Self(rank.min(last), None);
        }
        let is_merged = rank + merged >= REASONS;
        Self(rank, facts.filter(|_| !is_merged))
    }
}

// === impl Stratum ===

impl<T> Stratum<T> {
    /// For how many each that is held stands.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a second has fewer exchanges than an f64 has exact integers"
    )]
    fn factor(&self) -> f64 {
        self.seen as f64 / self.items.len().max(1) as f64
    }

    fn is_whole(&self) -> bool {
        self.seen == self.items.len() as u64
    }

    /// Holds no more than `places` from now on.
    fn shrink(&mut self, places: usize, random: &mut fastrand::Rng) {
        while self.items.len() > places {
            let at = random.usize(..self.items.len());
            self.items.swap_remove(at);
        }
        if !self.is_whole() {
            self.places = self.items.len();
        }
    }

    /// Both as one: a uniform sample of all that came to either.
    fn with(mut self, mut other: Self, random: &mut fastrand::Rng) -> Self {
        let sizes = [&self, &other].map(|one| match one.is_whole() {
            true => usize::MAX,
            false => one.items.len(),
        });
        let most = sizes[0].min(sizes[1]);
        let seen = self.seen + other.seen;
        if most == usize::MAX {
            self.items.append(&mut other.items);
            return Self { seen, ..self };
        }
        // As many of each as a draw without replacement from all that came would have brought.
        let (mut mine, mut theirs) = (self.seen, other.seen);
        let mut items = Vec::with_capacity(most);
        while items.len() < most {
            let from = if random.u64(0..mine + theirs) < mine {
                mine -= 1;
                &mut self.items
            } else {
                theirs -= 1;
                &mut other.items
            };
            let at = random.usize(..from.len());
            items.push(from.swap_remove(at));
        }
        Self {
            seen,
            places: most,
            items,
        }
    }
}

impl<T> Default for Stratum<T> {
    fn default() -> Self {
        Self {
            seen: 0,
            places: usize::MAX,
            items: Vec::new(),
        }
    }
}

fn as_size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
