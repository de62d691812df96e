//! A record as one line for people: what a terminal shows.
//!
//! `12:00:00.123 200 GET shop.test/cart 12.345ms 127.0.0.1:9001 4bf92f3577b34da6a3ce929d0e0e4736`, with the outcome where
//! it was not served, how many attempts where there were several, and the status in the colour of its class.

use std::io::Write;

use super::escape;
use super::json;
use super::time::Clock;
use crate::config::Plan;
use crate::exchange::{Outcome, Record};
use crate::telemetry::wall::Wall;

/// Writes records as lines for people.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct TextWriter {
    clock: Clock,
    is_coloured: bool,
}

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";

// === impl TextWriter ===

impl TextWriter {
    pub(in crate::telemetry) fn new(is_coloured: bool) -> Self {
        Self {
            clock: Clock::default(),
            is_coloured,
        }
    }

    /// One line, with its end.
    pub(in crate::telemetry) fn line(
        &mut self,
        out: &mut Vec<u8>,
        plan: &Plan,
        wall: Wall,
        record: &Record,
    ) {
        let words = record.text.words();
        self.paint(out, DIM, |out, clock| {
            clock.write_time(out, wall.unix(record.started));
        });
        out.push(b' ');
        self.paint(out, colour(record.status), |out, _| {
            let _ = write!(out, "{}", record.status); // a vector takes everything
        });
        out.push(b' ');
        escape::terminal(out, json::method(record));
        out.push(b' ');
        escape::terminal(out, words.host);
        escape::terminal(out, words.path);
        if record.outcome != Outcome::Served {
            out.push(b' ');
            self.paint(out, "\x1b[31m", |out, _| {
                out.extend_from_slice(record.outcome.as_str().as_bytes());
            });
        }
        out.push(b' ');
        json::millis(out, record.duration());
        out.extend_from_slice(b"ms");
        if let Some((_, address)) = json::place(plan, record.attempts().last()) {
            let _ = write!(out, " {address}");
        }
        let attempts = record.attempts().count();
        if attempts > 1 {
            let _ = write!(out, " {attempts} attempts");
        }
        out.push(b' ');
        self.paint(out, DIM, |out, _| {
            out.extend_from_slice(&record.trace.trace_id.hex());
        });
        out.push(b'\n');
    }

    fn paint(
        &mut self,
        out: &mut Vec<u8>,
        colour: &str,
        write: impl FnOnce(&mut Vec<u8>, &mut Clock),
    ) {
        if self.is_coloured {
            out.extend_from_slice(colour.as_bytes());
            write(out, &mut self.clock);
            out.extend_from_slice(RESET.as_bytes());
        } else {
            write(out, &mut self.clock);
        }
    }
}

/// Green, cyan, yellow and red by class.
fn colour(status: u16) -> &'static str {
    match status {
        200..300 => "\x1b[32m",
        300..400 => "\x1b[36m",
        400..500 => "\x1b[33m",
        500.. => "\x1b[31m",
        _ => "\x1b[37m",
    }
}
