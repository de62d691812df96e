//! The verdict: is anything wrong, where, and since when, in one sentence a finding; silence where nothing is.
//!
//! ```text
//! symptom   the ways in which a route can be wrong, and which of them a record shows
//! books     seconds of routes and endpoints, with clues
//! paces     what is slow for a route
//! watch     what is usual, when it became unusual, when that is over
//! doors     what listeners refuse
//! strays    what finds no route since a reload
//! losses    what telemetry itself loses
//! rising    a count that only grows when something is wrong
//! finding   the sentence, its filter and its figures
//! clauses   what a sentence is made of
//! ```
//!
//! A reader like the others, on the telemetry thread: it counts records as they come and judges each second once. It
//! never says more than was counted: where failures are not all at one endpoint of several no endpoint is blamed, and
//! few exchanges are called thin. Memory is fixed: some 25 KiB a route, 5 KiB an endpoint.

mod books;
mod clauses;
mod doors;
mod finding;
mod losses;
mod paces;
mod rising;
mod strays;
mod symptom;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::desk::Batch;
use super::ledger::Ledger;
use super::metrics::Catalogue;
use super::reader::ReadRecords;
use crate::config::{Listener, Match, Name, Plan};

use books::Books;
use doors::Doors;
use losses::Losses;
use strays::Strays;

pub use clauses::{Behind, Clause};
pub use finding::{AtEndpoint, Evidence, Finding};
pub use symptom::Symptom;

/// What is wrong now. A handle: clones share it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    findings: Arc<Mutex<Vec<Finding>>>,
    routes: Arc<Mutex<Routes>>,
}

/// The routes in force.
#[derive(Debug, Default)]
struct Routes {
    in_force: Option<Vec<(Name, Match)>>,
    /// The generation that has changed them, and the second, where nobody has looked since.
    changed: Option<(u32, u64)>,
}

/// The reader that comes to it.
#[derive(Debug)]
pub struct Judge {
    verdict: Verdict,
    ledger: Arc<Ledger>,
    catalogue: Arc<Catalogue>,
    books: Books,
    doors: Doors,
    strays: Strays,
    losses: Losses,
    /// The last second that was judged.
    judged: u64,
}

/// After a longer pause than this the seconds between are not looked at one by one.
const MOST_MISSED: u64 = 60;

// === impl Verdict ===

impl Verdict {
    /// The reader that keeps it, of these listeners and of whatever records come.
    #[must_use]
    pub fn judge(
        &self,
        ledger: &Arc<Ledger>,
        catalogue: &Arc<Catalogue>,
        listeners: &[Listener],
    ) -> Judge {
        Judge {
            verdict: self.clone(),
            ledger: Arc::clone(ledger),
            catalogue: Arc::clone(catalogue),
            books: Books::default(),
            doors: Doors::new(listeners),
            strays: Strays::new(),
            losses: Losses::new(),
            judged: 0,
        }
    }

    /// The findings, the worst first; nothing where all is well.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let findings = self.findings.lock();
        findings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A configuration is in force.
    pub fn adopt(&self, plan: &Plan, generation: u32) {
        let routes = plan.routes.iter();
        let routes: Vec<_> = routes
            .map(|it| (it.name.clone(), it.matches.clone()))
            .collect();
        let mut known = self.routes();
        if known.in_force.as_ref().is_some_and(|it| *it != routes) {
            known.changed = Some((generation, seconds_now()));
        }
        known.in_force = Some(routes);
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Judge ===

impl Judge {
    /// Judges the seconds that are over, once each.
    fn judge(&mut self, now: u64) {
        if now <= self.judged {
            return;
        }
        if let Some((generation, at)) = self.verdict.routes().changed.take() {
            self.strays.reloaded(generation, at);
        }
        for second in (self.judged + 1).max(now.saturating_sub(MOST_MISSED))..=now {
            self.books.look(second);
            self.strays.look(second);
        }
        self.judged = now;
        let findings = self.findings(now);
        let mut told = self.verdict.findings.lock();
        **told.as_mut().unwrap_or_else(|it| it.get_mut()) = findings;
    }

    fn findings(&mut self, now: u64) -> Vec<Finding> {
        let books = &self.books;
        let mut findings: Vec<(Symptom, Finding)> = Vec::new();
        for route in &books.routes {
            let found = Symptom::ALL
                .into_iter()
                .filter_map(|it| Some((it, finding::of(books, route, it, now)?)));
            let found: Vec<_> = found.collect();
            // What a retry hid is a clause of what it could not hide.
            let is_failing = found.iter().any(|(it, _)| *it == Symptom::Failing);
            let told = found
                .into_iter()
                .filter(|(it, _)| !is_failing || *it != Symptom::Rescued);
            findings.extend(told);
        }
        findings.sort_by_key(|(symptom, it)| (*symptom, std::cmp::Reverse(it.evidence.bad)));
        let losing = self.losses.look(now, &self.ledger);
        let losing = losing.iter().map(|it| finding::losing(it, now));
        // Whoever is not let in is worse off than all others, and no exchange tells of it.
        let refusing = self.doors.look(now, &self.catalogue);
        let refusing = refusing.iter().map(|it| finding::refusing(it, now));
        let straying = self.strays.straying(now);
        let straying = straying.iter().map(finding::straying);
        let others = findings.partition_point(|(symptom, _)| *symptom == Symptom::Failing);
        let others = findings.split_off(others).into_iter();
        let failing = findings.into_iter();
        refusing
            .chain(failing.map(|(_, it)| it))
            .chain(straying)
            .chain(others.map(|(_, it)| it))
            .chain(losing)
            .collect()
    }
}

impl ReadRecords for Judge {
    fn read(&mut self, batch: &Batch) {
        self.books.read(batch);
        self.strays.read(batch);
    }

    fn tick(&mut self) {
        self.judge(seconds_now());
    }
}

/// Seconds since 1970.
fn seconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
