//! Finished exchanges as they come, for whoever looks right now: `/api/v1/tail` and `sightglass tail`.
//!
//! A reader on the telemetry thread. Nobody looks: one relaxed load a batch and nothing else. Each viewer has a filter of
//! its own; an exchange that any of them takes is written once, as the line of the access log, for all of them. What a
//! viewer has not taken waits in bounded places, and what finds none is counted and told: a viewer that is slower than
//! the traffic sees a part of it and knows how much it missed.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::desk::Batch;
use super::filter::Filter;
use super::log::JsonWriter;
use super::reader::ReadRecords;

/// Who looks. A handle: clones share the viewers.
#[derive(Clone, Default)]
pub struct Tail(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How many look; read without the lock.
    looking: AtomicUsize,
    viewers: Mutex<Vec<Viewer>>,
}

struct Viewer {
    filter: Option<Filter>,
    outlet: mpsc::Sender<Glimpse>,
    next: Glimpse,
}

/// What finished since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// Exchanges as JSON, a line each, in the words of the access log; 64 KiB at most and one line.
    pub lines: Vec<u8>,
    /// How many more matched, for which there was no room.
    pub missed: u64,
}

/// Bytes of one glimpse: with some twenty glimpses a second that is some 1,500 exchanges a second and viewer.
const ROOM: usize = 64 << 10;
/// Glimpses that wait until a viewer takes them.
const WAITING: usize = 2;

// === impl Tail ===

impl Tail {
    /// What finishes from now on and matches. Dropped, the viewer is forgotten.
    #[must_use]
    pub fn look(&self, filter: Option<Filter>) -> mpsc::Receiver<Glimpse> {
        let (outlet, glimpses) = mpsc::channel(WAITING);
        let mut viewers = self.viewers();
        viewers.push(Viewer {
            filter,
            outlet,
            next: Glimpse::default(),
        });
        self.0.looking.store(viewers.len(), Ordering::Relaxed);
        glimpses
    }

    fn is_watched(&self) -> bool {
        self.0.looking.load(Ordering::Relaxed) > 0
    }

    fn viewers(&self) -> MutexGuard<'_, Vec<Viewer>> {
        self.0
            .viewers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, batch: &Batch) {
        let mut viewers = self.viewers();
        let mut writer = JsonWriter::default();
        let mut line = Vec::new();
        for record in &batch.records {
            line.clear();
            for viewer in &mut *viewers {
                let takes = |filter: &Filter| filter.takes(&batch.plan, record);
                if !viewer.filter.as_ref().is_none_or(takes) {
                    continue;
                }
                if viewer.next.lines.len() >= ROOM {
                    viewer.next.missed += 1;
                    continue;
                }
                if line.is_empty() {
                    writer.line(&mut line, &batch.plan, batch.wall, record);
                }
                viewer.next.lines.extend_from_slice(&line);
            }
        }
    }

    /// Hands over what there is, and forgets who has gone.
    fn hand_over(&self) {
        let mut viewers = self.viewers();
        viewers.retain_mut(Viewer::hand_over);
        self.0.looking.store(viewers.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}

impl ReadRecords for Tail {
    fn read(&mut self, batch: &Batch) {
        if self.is_watched() {
            self.take(batch);
        }
    }

    fn tick(&mut self) {
        if self.is_watched() {
            self.hand_over();
        }
    }

    fn end(&mut self) {
        self.hand_over();
        self.viewers().clear();
    }
}

// === impl Viewer ===

impl Viewer {
    /// Whether it still looks. What has no place yet is kept: it is full at some point, and from then on it counts.
    fn hand_over(&mut self) -> bool {
        if self.next == Glimpse::default() {
            return !self.outlet.is_closed();
        }
        match self.outlet.try_reserve() {
            Ok(place) => place.send(std::mem::take(&mut self.next)),
            Err(mpsc::error::TrySendError::Full(())) => {}
            Err(mpsc::error::TrySendError::Closed(())) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixture;

    fn of_status(status: u16, count: usize) -> Batch {
        let records = (0..count).map(|_| {
            let mut record = fixture::record(Some(0));
            record.status = status;
            record
        });
        fixture::batch(&Arc::new(fixture::plan(&["web"])), records.collect())
    }

    fn filter(text: &str) -> Option<Filter> {
        Some(Filter::read(text).expect("it can be read"))
    }

    fn count(glimpse: &Glimpse) -> usize {
        glimpse.lines.split_inclusive(|byte| *byte == b'\n').count()
    }

    #[test]
    fn each_viewer_sees_what_its_filter_takes() {
        let mut tail = Tail::default();
        let mut all = tail.look(None);
        let mut failed = tail.look(filter("status>=500"));
        tail.read(&of_status(200, 2));
        tail.read(&of_status(503, 1));
        tail.tick();
        let told = all.try_recv().expect("a glimpse");
        assert_eq!((count(&told), told.missed), (3, 0));
        let told = failed.try_recv().expect("a glimpse");
        let line: serde_json::Value = serde_json::from_slice(&told.lines).expect("one object");
        assert_eq!(line["status"], 503);
        assert_eq!(line["route"], "web");
        tail.read(&of_status(200, 1));
        tail.tick();
        assert!(failed.try_recv().is_err(), "nothing for it");
    }

    #[test]
    fn whoever_has_gone_is_forgotten_and_nothing_is_done_for_it() {
        let mut tail = Tail::default();
        drop(tail.look(None));
        assert!(tail.is_watched());
        tail.tick();
        assert!(!tail.is_watched());
        tail.read(&of_status(200, 1));
        assert!(tail.viewers().is_empty());
    }

    #[test]
    fn a_viewer_that_takes_nothing_holds_so_much_and_is_told_what_it_missed() {
        let mut tail = Tail::default();
        let mut slow = tail.look(None);
        let mut seen = 0;
        for _ in 0..500 {
            tail.read(&of_status(200, 64));
            tail.tick();
        }
        let (mut lines, mut missed) = (0, 0);
        while let Ok(told) = slow.try_recv() {
            assert!(told.lines.len() < ROOM + 64 * 1024, "{}", told.lines.len());
            lines += count(&told);
            missed += told.missed;
            seen += 1;
        }
        assert_eq!(seen, WAITING);
        tail.tick();
        let told = slow.try_recv().expect("the rest");
        lines += count(&told);
        missed += told.missed;
        assert!(told.missed > 0 && told.lines.len() < ROOM + 4096);
        assert_eq!(lines as u64 + missed, 500 * 64, "none is unaccounted for");
    }

    #[test]
    fn the_end_hands_over_the_last_and_ends_the_streams() {
        let mut tail = Tail::default();
        let mut all = tail.look(None);
        tail.read(&of_status(200, 1));
        tail.end();
        assert_eq!(all.try_recv().map(|told| count(&told)), Ok(1));
        let gone = mpsc::error::TryRecvError::Disconnected;
        assert_eq!(all.try_recv(), Err(gone));
    }
}
