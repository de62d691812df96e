//! Which endpoint takes an attempt: a trait, and one file an algorithm.
//!
//! tower's `p2c::Balance` is the model but not the code: it needs `&mut self`, hence a queue in front of it, and pays
//! several clock reads and locks a pick. Here a pick reads a few atomics. tower's [`Load`](tower::load::Load) is the
//! vocabulary in which two endpoints are compared.
//!
//! Weights: the draw is by weight and the load is divided by weight, so idle endpoints share by weight exactly and busy
//! ones settle at load in proportion to it.

use std::cell::Cell;
use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use tower::load::Load;

use super::Endpoint;
use crate::config;
use crate::exchange::Considered;

mod layer;
mod least_requests;
mod peak_ewma;
mod random;
mod round_robin;

pub use layer::Balance;

/// Picks an endpoint for an attempt.
pub trait Pick: Debug + Send + Sync {
    /// One of the candidates, by its place in the upstream; `None` where there is none.
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize>;
}

/// The endpoints that may take an attempt: all that nobody has taken out, less those that the exchange has tried
/// already, unless it has tried every one. Where a reload has left an upstream nothing but what is taken out, all of
/// that takes part: any is better than none.
#[derive(Debug)]
pub struct Candidates<'a> {
    endpoints: &'a [Arc<Endpoint>],
    /// Which are barred, by place; empty on a first attempt, when nothing is allocated.
    barred: Vec<bool>,
    weight: u64,
    count: usize,
    /// What was looked at, to be told of the attempt.
    considered: Cell<Considered>,
}

/// The algorithm of this name.
pub(super) fn of(balance: config::Balance) -> Box<dyn Pick> {
    match balance {
        config::Balance::PeakEwma => Box::new(peak_ewma::PeakEwma),
        config::Balance::LeastRequests => Box::new(least_requests::LeastRequests),
        config::Balance::RoundRobin => Box::new(round_robin::RoundRobin::default()),
        config::Balance::Random => Box::new(random::Random),
    }
}

// === impl Candidates ===

impl<'a> Candidates<'a> {
    /// All endpoints that nobody has taken out.
    #[must_use]
    pub fn all(endpoints: &'a [Arc<Endpoint>]) -> Self {
        let mut all = Self::whole(endpoints);
        if endpoints.iter().any(|it| it.holding.is_out()) {
            // Read once: what is taken out meanwhile counts from the next attempt on.
            let out: Vec<bool> = endpoints.iter().map(|it| it.holding.is_out()).collect();
            let left = out.iter().filter(|is_out| !**is_out).count();
            if left > 0 {
                let weights = endpoints.iter().zip(&out).filter(|(_, is_out)| !**is_out);
                all.weight = weights.map(|(it, _)| u64::from(it.weight)).sum();
                (all.barred, all.count) = (out, left);
            }
        }
        all
    }

    fn whole(endpoints: &'a [Arc<Endpoint>]) -> Self {
        let weight = endpoints
            .iter()
            .map(|endpoint| u64::from(endpoint.weight))
            .sum();
        Self {
            endpoints,
            barred: Vec::new(),
            weight,
            count: endpoints.len(),
            considered: Cell::default(),
        }
    }

    /// Without the endpoint at this place, which has been tried.
    pub fn bar(&mut self, place: usize) {
        if self.barred.is_empty() {
            self.barred = vec![false; self.endpoints.len()];
        }
        if let Some(barred @ false) = self.barred.get_mut(place) {
            *barred = true;
            self.count -= 1;
            self.weight -= u64::from(self.endpoints[place].weight);
        }
        if self.count == 0 {
            *self = Self::all(self.endpoints); // every one was tried: any is better than none
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What a pick among them has looked at.
    #[must_use]
    pub fn considered(&self) -> Considered {
        self.considered.get().among(self.count)
    }

    fn is_open(&self, place: usize) -> bool {
        !self.barred.get(place).copied().unwrap_or(false)
    }

    /// The candidates with their places.
    fn iter(&self) -> impl Iterator<Item = (usize, &'a Endpoint)> + '_ {
        self.endpoints
            .iter()
            .enumerate()
            .filter(|(place, _)| self.is_open(*place))
            .map(|(place, endpoint)| (place, &**endpoint))
    }

    /// One of them by weight at random, other than `not`.
    fn draw(&self, not: Option<usize>) -> Option<usize> {
        let less = not.map_or(0, |place| u64::from(self.endpoints[place].weight));
        let weight = self.weight.checked_sub(less).filter(|weight| *weight > 0)?;
        let mut ticket = fastrand::u64(..weight);
        for (place, endpoint) in self.iter().filter(|(place, _)| Some(*place) != not) {
            match ticket.checked_sub(u64::from(endpoint.weight)) {
                Some(left) => ticket = left,
                None => return Some(place),
            }
        }
        None
    }

    /// The less loaded of two drawn at random: nearly as good as the best of all, and no herd runs to it
    /// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Where both are alike, the first
    /// drawn, so that the draw's weights decide.
    fn better_of_two<L: Load<Metric = f64>>(
        &self,
        load: impl Fn(&'a Endpoint) -> L,
    ) -> Option<usize> {
        let first = self.draw(None)?;
        let Some(second) = self.draw(Some(first)) else {
            return Some(first);
        };
        let loads = [first, second].map(|place| load(&self.endpoints[place]).load());
        let considered = Considered::default().with(first, loads[0]);
        self.considered.set(considered.with(second, loads[1]));
        Some(if loads[1] < loads[0] { second } else { first })
    }
}

/// Each endpoint, with what it is judged by and why it is none.
impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, endpoint) in self.endpoints.iter().enumerate() {
            let between = if place == 0 { "" } else { ", " };
            write!(
                f,
                "{between}{} (active {}, weight {}",
                endpoint.address,
                endpoint.active(),
                endpoint.weight
            )?;
            let latency = endpoint.latency();
            if latency > 0.0 {
                write!(f, ", {:.1} ms", latency * 1e3)?;
            }
            match (endpoint.holding.is_out(), self.is_open(place)) {
                (true, false) => f.write_str(", taken out")?,
                (false, false) => f.write_str(", tried already")?,
                _ => {}
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
