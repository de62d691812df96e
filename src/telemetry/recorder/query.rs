//! Questions to the recorder, and their answers as JSON.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Recorder;
use super::kept::Kept;
use crate::exchange::{Outcome, TraceId};
use crate::telemetry::filter::Filter;
use crate::telemetry::log::{JsonWriter, place};

/// What one asks for. Everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// The route by its configured name, or `_unmatched`.
    pub route: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The least length.
    pub min_duration: Option<Duration>,
    /// The trace.
    pub trace_id: Option<TraceId>,
    /// The address of an endpoint that one of its attempts went to.
    pub endpoint: Option<String>,
    /// It began then or later, since 1970.
    pub since: Option<Duration>,
    /// It began before then, since 1970.
    pub until: Option<Duration>,
    /// What else must hold.
    pub filter: Option<Filter>,
    /// The slowest of those that match, the slowest first, instead of the newest.
    pub slowest: bool,
    /// The most answers.
    pub limit: Option<usize>,
}

/// The most exchanges that one answer should carry.
pub const MOST_ANSWERS: usize = 1_000;

// === impl Recorder: its answers ===

impl Recorder {
    /// The exchanges that match, the newest first or the slowest: `{"exchanges": [...]}`.
    #[must_use]
    pub fn query(&self, query: &Query) -> Vec<u8> {
        let mut out = b"{\"exchanges\":[".to_vec();
        let mut writer = JsonWriter::default();
        for (index, kept) in self.find(query).iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            writer.exchange(&mut out, &kept.plan, kept.wall, &kept.record);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// The exchange of this trace that ended last, as an object; `None` where none is kept.
    #[must_use]
    pub fn exchange(&self, trace_id: TraceId) -> Option<Vec<u8>> {
        let found = self.find(&Query {
            trace_id: Some(trace_id),
            limit: Some(1),
            ..Query::default()
        });
        let kept = found.first()?;
        let mut out = Vec::new();
        JsonWriter::default().exchange(&mut out, &kept.plan, kept.wall, &kept.record);
        Some(out)
    }

    /// The exchanges that match, the newest first or the slowest. Without a limit all of them: they stay in memory as long
    /// as the answer does.
    #[must_use]
    pub fn find(&self, query: &Query) -> Vec<Arc<Kept>> {
        let limit = query.limit.unwrap_or(usize::MAX);
        if query.slowest {
            return self.slowest(query, limit);
        }
        let mut found: Vec<Arc<Kept>> = Vec::new();
        if limit == 0 {
            return found;
        }
        let below = self.each_recent(&mut |kept| {
            if query.takes(kept) {
                found.push(Arc::clone(kept));
            }
            found.len() < limit
        });
        if found.len() == limit {
            return found;
        }
        // What is newer than the last that was looked at has been looked at, whichever ring holds it.
        let (mut older, mut known) = (Vec::new(), HashSet::new());
        self.each_other(below, &mut |kept| {
            if query.takes(kept) && known.insert(kept.number) {
                older.push(Arc::clone(kept));
            }
        });
        older.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.number));
        older.truncate(limit - found.len());
        found.append(&mut older);
        found
    }

    /// All are looked at, and never more than twice the limit kept at once.
    fn slowest(&self, query: &Query, limit: usize) -> Vec<Arc<Kept>> {
        let mut found: Vec<Arc<Kept>> = Vec::new();
        let cut = |found: &mut Vec<Arc<Kept>>| {
            found.sort_unstable_by_key(|kept| std::cmp::Reverse((kept.record.pace(), kept.number)));
            found.dedup_by_key(|kept| kept.number); // two rings may hold one
            found.truncate(limit);
        };
        let mut take = |kept: &Arc<Kept>| {
            if query.takes(kept) {
                found.push(Arc::clone(kept));
                if found.len() / 2 >= limit {
                    cut(&mut found);
                }
            }
        };
        let below = self.each_recent(&mut |kept| {
            take(kept);
            true
        });
        self.each_other(below, &mut take);
        cut(&mut found);
        found
    }
}

// === impl Query ===

impl Query {
    /// Whether this exchange is asked for.
    #[must_use]
    pub fn takes(&self, kept: &Kept) -> bool {
        let record = &kept.record;
        let began = || kept.wall.unix(record.started);
        self.trace_id
            .is_none_or(|wanted| wanted == record.trace.trace_id)
            && self.outcome.is_none_or(|wanted| wanted == record.outcome)
            && self
                .min_duration
                .is_none_or(|least| record.duration() >= least)
            && self.since.is_none_or(|since| began() >= since)
            && self.until.is_none_or(|until| began() < until)
            && self
                .route
                .as_deref()
                .is_none_or(|wanted| wanted == kept.route())
            && self.endpoint.as_deref().is_none_or(|wanted| {
                let mut places = record.attempts().map(|it| place(&kept.plan, Some(it)));
                places.any(|it| it.is_some_and(|(_, address)| address.to_string() == wanted))
            })
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.takes(&kept.plan, record))
    }
}
