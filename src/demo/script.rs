//! When which service is in trouble: the play that the demo gives.
//!
//! A [`Spell`] of trouble comes back every period, at a time that differs a little from round to round, and ends. All of
//! it follows from a seed and the time since the start, so nothing has to be remembered, any instant can be asked about,
//! and a test can ask. The rejected way, a task that switches faults on and off, could only be tested by waiting.
//!
//! Another play, such as one incident to practise on, is another [`Script`] beside [`Script::everyday`] (`incident`).

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

/// What happens to whom and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Script {
    /// From which all chance follows.
    pub(super) seed: u64,
    /// The endpoints and their troubles.
    pub(super) cast: Vec<Part>,
    /// What its clients do besides, and when.
    pub(super) crowd: Vec<Spell>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// What it is.
    pub(super) role: Role,
    /// How long an answer takes when all is well, in milliseconds.
    pub(super) usual_ms: RangeInclusive<u64>,
    /// Its troubles; where several are on, the first that befalls a request.
    pub(super) spells: Vec<Spell>,
    /// It speaks TLS, and its certificate is good for so long.
    pub(super) certificate: Option<Duration>,
}

/// What an endpoint is of: a service of the shop, which is an upstream of the same name, or what else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Checkout,
    Search,
    Inventory,
    /// Takes traces; no service of the shop.
    Collector,
}

/// A trouble that comes back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spell {
    /// What is wrong.
    pub(super) trouble: Trouble,
    /// Percent of the requests that it befalls.
    pub(super) percent: u8,
    /// From one time to the next; whole seconds.
    pub(super) period: Duration,
    /// When in the period it begins, at the earliest.
    pub(super) from: Duration,
    /// How much later it may begin, drawn anew every period.
    pub(super) jitter: Duration,
    /// How long it lasts.
    pub(super) lasts: Duration,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// An answer takes this many milliseconds.
    Slow(RangeInclusive<u64>),
    /// An answer is large.
    Large,
    /// 503.
    Unavailable,
    /// The connection is reset instead of an answer.
    Reset,
    /// Nobody listens.
    Refuse,
    /// What would change something is answered with 500.
    Broken,
    /// One client comes in a rush.
    Rush,
    /// Clients wait this many milliseconds at most.
    Impatient(RangeInclusive<u64>),
    /// A client leaves a connection open and does nothing with it.
    Linger,
}

/// Longer than any demo.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

// === impl Script ===

impl Script {
    /// An ordinary day, in half a minute.
    pub(super) fn everyday(seed: u64) -> Self {
        let part = |role, usual_ms, spells| Part {
            role,
            usual_ms,
            spells,
            certificate: None,
        };
        let slow = Spell::every(20, Trouble::Slow(400..=900), 100).at(4, 2, 6);
        let unavailable = Spell::every(30, Trouble::Unavailable, 35).at(7, 1, 6);
        let reset = Spell::every(30, Trouble::Reset, 30).at(16, 1, 4);
        let refuse = Spell::every(30, Trouble::Refuse, 100).at(24, 1, 3);
        Self {
            seed,
            cast: vec![
                part(Role::Checkout, 3..=12, Vec::new()),
                part(Role::Checkout, 3..=12, vec![slow]),
                part(
                    Role::Search,
                    1..=4,
                    vec![Spell::every(1, Trouble::Large, 1).at(0, 0, 1)],
                ),
                part(Role::Inventory, 2..=8, vec![unavailable, reset, refuse]),
            ],
            crowd: vec![Spell::every(25, Trouble::Rush, 100).at(11, 3, 2)],
        }
    }
}

// === impl Part ===

impl Part {
    /// What befalls a request now, if anything does.
    pub(super) fn trouble(&self, seed: u64, elapsed: Duration, rng: &mut Rng) -> Option<&Trouble> {
        self.spells
            .iter()
            .find(|spell| spell.is_on(seed, elapsed) && rng.u8(0..100) < spell.percent)
            .map(|spell| &spell.trouble)
    }

    /// Whether nobody listens there now.
    pub(super) fn refuses(&self, seed: u64, elapsed: Duration) -> bool {
        let is_refusal = |spell: &&Spell| spell.trouble == Trouble::Refuse;
        self.spells
            .iter()
            .filter(is_refusal)
            .any(|spell| spell.is_on(seed, elapsed))
    }
}

// === impl Role ===

impl Role {
    /// The services of the shop, in the order in which they are told.
    pub(super) const ALL: [Self; 3] = [Self::Checkout, Self::Search, Self::Inventory];

    /// The name of its route and upstream, and its path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Search => "search",
            Self::Inventory => "inventory",
            Self::Collector => "collector",
        }
    }
}

// === impl Spell ===

impl Spell {
    /// Trouble all the time, with a period in seconds; [`Spell::at`] says when in it.
    fn every(period: u64, trouble: Trouble, percent: u8) -> Self {
        let period = Duration::from_secs(period);
        Self {
            trouble,
            percent,
            period,
            from: Duration::ZERO,
            jitter: Duration::ZERO,
            lasts: period,
        }
    }

    /// Trouble from this time on that does not end.
    pub(super) fn from(after: Duration, trouble: Trouble, percent: u8) -> Self {
        Self {
            trouble,
            percent,
            period: FOR_EVER,
            from: after,
            jitter: Duration::ZERO,
            lasts: FOR_EVER,
        }
    }

    /// When in the period, in seconds: it begins at `from`, or up to `jitter` later, and lasts.
    fn at(self, from: u64, jitter: u64, lasts: u64) -> Self {
        Self {
            from: Duration::from_secs(from),
            jitter: Duration::from_secs(jitter),
            lasts: Duration::from_secs(lasts),
            ..self
        }
    }

    /// Whether it is on so long after the start.
    pub(super) fn is_on(&self, seed: u64, elapsed: Duration) -> bool {
        let period = self.period.as_secs().max(1);
        let (round, second) = (elapsed.as_secs() / period, elapsed.as_secs() % period);
        let within = Duration::new(second, elapsed.subsec_nanos());
        let begins = self.begins(seed, round);
        (begins..begins + self.lasts).contains(&within)
    }

    /// When it begins in this round.
    fn begins(&self, seed: u64, round: u64) -> Duration {
        // Two spells with the same period differ in `from`, which keeps their chance apart.
        let mix = seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.from.as_secs();
        self.from + self.jitter.mul_f64(Rng::with_seed(mix).f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 1;

    fn spells(script: &Script) -> impl Iterator<Item = &Spell> {
        let parts = script.cast.iter().flat_map(|part| &part.spells);
        parts.chain(&script.crowd)
    }

    /// The time from second to second in tenths.
    fn tenths(from: u64, to: u64) -> impl Iterator<Item = Duration> {
        (from * 10..to * 10).map(|tenth| Duration::from_millis(tenth * 100))
    }

    #[test]
    fn every_spell_ends_within_its_period() {
        for spell in spells(&Script::everyday(SEED)) {
            assert!(
                spell.from + spell.jitter + spell.lasts <= spell.period,
                "{spell:?}"
            );
        }
    }

    #[test]
    fn half_a_minute_shows_every_trouble() {
        for seed in 0..50 {
            for spell in spells(&Script::everyday(seed)) {
                let seen = tenths(0, 30).filter(|at| spell.is_on(seed, *at)).count();
                assert!(seen >= 10, "seed {seed}: {spell:?} is on for {seen} tenths");
            }
        }
    }

    #[test]
    fn a_spell_lasts_as_long_as_it_says_and_begins_in_its_window() {
        let script = Script::everyday(SEED);
        let slow = &script.cast[1].spells[0];
        for round in 0..100 {
            let on: Vec<Duration> = tenths(round * 20, round * 20 + 20)
                .filter(|at| slow.is_on(SEED, *at))
                .collect();
            let begin = on[0] - Duration::from_secs(round * 20);
            assert!((59..=61).contains(&on.len()), "round {round}: {on:?}");
            assert!(
                begin >= slow.from && begin <= slow.from + slow.jitter + Duration::from_millis(100),
                "round {round} begins at {begin:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_play_and_another_seed_another() {
        let times = |seed| -> Vec<bool> {
            let script = Script::everyday(seed);
            let parts = tenths(0, 120);
            parts.map(|at| script.crowd[0].is_on(seed, at)).collect()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn a_spell_befalls_about_its_percentage() {
        let script = Script::everyday(SEED);
        let inventory = &script.cast[3];
        let at = inventory.spells[0].begins(SEED, 0) + Duration::from_secs(1);
        let mut rng = Rng::with_seed(SEED);
        let hits = (0..10_000).filter(|_| inventory.trouble(SEED, at, &mut rng).is_some());
        assert!((3_300..3_700).contains(&hits.count()));
        assert!(!inventory.refuses(SEED, at));
    }
}
