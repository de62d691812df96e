//! One symptom of one route, watched: what is usual, when it became unusual, and when that is over.
//!
//! A pure function of counts by second, so that days run in a test within seconds. An alarm needs three things at once:
//! at least five exchanges, a share well above what is usual, and a chance below one in ten thousand million that twice
//! the usual share would have come to that (Chernoff's bound of the binomial tail, which is never too small). Five
//! windows are looked at, from three seconds to five minutes, so that a total failure is seen at once and a
//! trickle in the end.
//!
//! What is usual is learned from what is a minute old, fades by half in 23 minutes, and is not learned while the alarm
//! lasts: a failure that goes on for hours does not become usual. Before anything is learned one in a hundred is taken
//! as usual, with the weight of a hundred exchanges.

/// Of so many exchanges so many had the symptom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) of: u64,
    pub(super) bad: u64,
}

/// A symptom of a route.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// How many exchanges were learned from, and how many of them had it; both fade.
    of: f64,
    bad: f64,
    open: Option<Open>,
    /// When the last alarm was over: what was before it raises no other.
    calm_from: u64,
}

/// What is wrong.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: u64,
    raised: u64,
}

/// How far back counts are looked at, in seconds.
pub(super) const REACH: u64 = 300;
const WINDOWS: [u64; 5] = [3, 10, 30, 120, REACH];
/// Longer windows change little within ten seconds, and are looked at only then.
const SHORT: u64 = 30;
/// What is younger is not learned from: it may belong to what is just beginning.
const LEARNED_AFTER: u64 = 60;
/// What is left of what was learned after a second.
const FADE: f64 = 0.9995;
/// An alarm needs so many.
const LEAST: u64 = 5;
/// The natural logarithm of the chance that an alarm is none.
const CHANCE: f64 = -23.0;
/// While an alarm is so young its beginning is looked for again: there is more to see.
const SETTLING: u64 = 30;
/// It is over when so many seconds look usual again.
pub(super) const CALM: u64 = 30;

// === impl Count ===

impl Count {
    /// The share that had the symptom; 0 where there was nothing.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
    pub(super) fn share(self) -> f64 {
        match self.of {
            0 => 0.0,
            of => self.bad as f64 / of as f64,
        }
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, it| Self {
            of: sum.of + it.of,
            bad: sum.bad + it.bad,
        })
    }
}

// === impl Watch ===

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            of: 100.0,
            bad: 1.0,
            open: None,
            calm_from: 0,
        }
    }

    /// Since when it is wrong, if it is.
    pub(super) fn since(&self) -> Option<u64> {
        self.open.map(|open| open.since)
    }

    /// The share that is usual.
    pub(super) fn usual(&self) -> f64 {
        self.bad / self.of
    }

    /// Looks at the second before `now`, which is over; to be called once for each. `at` says what a second counted,
    /// for the last [`REACH`].
    #[allow(clippy::cast_precision_loss, reason = "counts of a second")]
    pub(super) fn look(&mut self, now: u64, at: impl Fn(u64) -> Count) {
        let calm_from = self.calm_from;
        let over = |seconds: u64| {
            let from = now.saturating_sub(seconds).max(calm_from);
            (from..now).map(&at).sum::<Count>()
        };
        let limit = limit(self.usual());
        if let Some(open) = self.open {
            let last = over(CALM);
            if last.bad == 0 || last.of >= 20 && last.share() <= limit {
                (self.open, self.calm_from) = (None, now.saturating_sub(CALM));
            } else if now - open.raised < SETTLING {
                let since = self.onset(now, over(now - open.since), &at);
                self.open = Some(Open { since, ..open });
            }
            return;
        }
        let old = at(now.saturating_sub(LEARNED_AFTER + 1));
        self.of = self.of * FADE + old.of as f64;
        self.bad = self.bad * FADE + old.bad as f64;
        if self.of < 100.0 {
            // A route without traffic forgets towards what is taken as usual, not towards nothing.
            self.bad += (100.0 - self.of) * 0.01;
            self.of = 100.0;
        }
        let alarm = WINDOWS
            .into_iter()
            .filter(|window| *window <= SHORT || now.is_multiple_of(SHORT / 3))
            .map(over)
            .find(|count| is_unusual(*count, limit));
        if let Some(count) = alarm {
            let since = self.onset(now, count, &at);
            self.open = Some(Open { since, raised: now });
        }
    }

    /// The second from which on what was counted speaks most clearly for a share as in `alarm` and against the usual
    /// one: where the sum of the logarithms of their likelihoods is highest.
    #[allow(clippy::cast_precision_loss, reason = "counts of a second")]
    fn onset(&self, now: u64, alarm: Count, at: impl Fn(u64) -> Count) -> u64 {
        let usual = self.usual().clamp(1e-4, 0.9);
        let unusual = alarm.share().clamp((usual * 1.5).min(0.95), 0.999);
        let for_bad = (unusual / usual).ln();
        let for_good = ((1.0 - unusual) / (1.0 - usual)).ln();
        let (mut sum, mut best, mut since) = (0.0, 0.0, now.saturating_sub(1));
        let first = now.saturating_sub(REACH).max(self.calm_from);
        for second in (first..now).rev() {
            let Count { of, bad } = at(second);
            sum += bad as f64 * for_bad + (of - bad) as f64 * for_good;
            if sum > best && bad > 0 {
                (best, since) = (sum, second);
            }
        }
        since
    }
}

/// What would still be nothing unusual, where this share is usual.
pub(super) fn limit(usual: f64) -> f64 {
    (2.0 * usual).clamp(0.005, 0.98)
}

/// Whether so many of so many are more than chance makes of `limit`.
#[allow(clippy::cast_precision_loss, reason = "a logarithm needs no more")]
pub(super) fn is_unusual(count: Count, limit: f64) -> bool {
    let share = count.share();
    if count.bad < LEAST || share <= limit {
        return false;
    }
    // Kullback and Leibler's distance between the shares: Chernoff's exponent.
    let good = if share < 1.0 {
        (1.0 - share) * ((1.0 - share) / (1.0 - limit)).ln()
    } else {
        0.0
    };
    let distance = share * (share / limit).ln() + good;
    -(count.of as f64) * distance < CHANCE
}
