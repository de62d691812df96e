//! One connection of an upstream while its scripts run: reads, records, sends, ends.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::port::Arrival;
use super::super::script::{Script, Step};
use super::super::wire::{Body, Head, Keep, Wire};
use super::{Ended, Request, Seen};

/// Which scripts run when: one a connection, or one a request.
pub(super) enum Scripts {
    Connections(Vec<Script>),
    Requests(Vec<Script>),
}

/// One connection while it is served.
struct Session<'a> {
    arrival: &'a Arrival,
    seen: &'a Seen,
    wire: Wire,
    head: Option<Head>,
    /// Where the request under way stands in the list of requests.
    request: Option<usize>,
}

/// Serves a connection to its end.
pub(super) fn serve(arrival: Arrival, seen: &Seen, scripts: &Scripts) {
    let wire = Wire::new(Arc::clone(&arrival.stream));
    let tape = wire.tape();
    let number = arrival.number;
    seen.note(number, |connection| connection.tape = tape);
    let mut session = Session {
        arrival: &arrival,
        seen,
        wire,
        head: None,
        request: None,
    };
    let ended = match session.run_all(scripts) {
        Ok(ended) => ended,
        Err(error) => Ended::Broken(format!("{:?}: {error}", error.kind())),
    };
    drop(session);
    // The last holder of the socket: the record below is written when it is closed.
    drop(arrival);
    seen.note(number, |connection| connection.ended = Some(ended));
}

// === impl Session ===

impl Session<'_> {
    fn run_all(&mut self, scripts: &Scripts) -> io::Result<Ended> {
        let scripts = match scripts {
            Scripts::Requests(scripts) => scripts,
            Scripts::Connections(scripts) => {
                let script = nth_or_last(scripts, self.arrival.number);
                if let Some(ended) = self.run(script)? {
                    return Ok(ended);
                }
                self.close_in_order();
                return Ok(Ended::ByScript);
            }
        };
        let close_after = self.seen.close_after.load(Ordering::SeqCst);
        for carried in 1.. {
            if !self.wire.wait_for_byte()? {
                return Ok(Ended::ByPeer);
            }
            let script = nth_or_last(scripts, self.seen.begun.fetch_add(1, Ordering::SeqCst));
            if let Some(ended) = self.run(script)? {
                return Ok(ended);
            }
            if carried == close_after || self.is_last_request() {
                break;
            }
        }
        Ok(Ended::ByScript)
    }

    fn run(&mut self, script: &Script) -> io::Result<Option<Ended>> {
        for step in &script.0 {
            if let Some(ended) = self.step(step)? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    fn step(&mut self, step: &Step) -> io::Result<Option<Ended>> {
        match step {
            Step::ReadHead => match self.wire.read_head()? {
                Some(head) => self.record(head),
                None => return Ok(Some(Ended::ByPeer)),
            },
            Step::ReadBody(keep) => self.read_body(*keep)?,
            Step::ReadToEnd => {
                self.wire.read_to_end()?;
                return Ok(Some(Ended::ByPeer));
            }
            Step::ContinueIfExpected => {
                if self
                    .head
                    .as_ref()
                    .is_some_and(|head| head.headers.lists("expect", "100-continue"))
                {
                    self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
            }
            Step::Send(bytes) => self.wire.send(bytes)?,
            Step::SendSlowly {
                bytes,
                piece,
                pause,
            } => {
                for piece in bytes.chunks((*piece).max(1)) {
                    self.wire.send(piece)?;
                    std::thread::sleep(*pause);
                }
            }
            Step::SendRepeated { bytes, times } => {
                for _ in 0..*times {
                    self.wire.send(bytes)?;
                }
            }
            Step::Answer(answer) => {
                let request = self
                    .request
                    .and_then(|at| self.seen.requests().get(at).cloned())
                    .unwrap_or_default();
                self.wire.send(&answer(&request))?;
            }
            Step::Wait(gate) => gate.pass(|| self.arrival.is_over()),
            Step::Pause(pause) => std::thread::sleep(*pause),
            Step::HalfClose => self.wire.half_close()?,
            Step::Reset => {
                socket2::SockRef::from(self.wire.stream()).set_linger(Some(Duration::ZERO))?;
                return Ok(Some(Ended::ByScript));
            }
            Step::Close => {
                self.close_in_order();
                return Ok(Some(Ended::ByScript));
            }
        }
        Ok(None)
    }

    fn record(&mut self, head: Head) {
        let request = Request {
            connection: self.arrival.number,
            method: head.word(0).to_owned(),
            target: head.word(1).to_owned(),
            version: head.word(2).to_owned(),
            headers: head.headers.clone(),
            raw_head: head.raw.clone(),
            ..Request::default()
        };
        let mut requests = self.seen.requests();
        self.request = Some(requests.len());
        requests.push(request);
        self.head = Some(head);
    }

    fn read_body(&mut self, keep: Keep) -> io::Result<()> {
        let Some(head) = &self.head else {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "the script reads a body before a head",
            ));
        };
        let Body {
            bytes,
            length,
            trailers,
        } = self.wire.read_body(head.request_framing(), keep)?;
        let mut requests = self.seen.requests();
        if let Some(request) = self.request.and_then(|at| requests.get_mut(at)) {
            request.body = bytes;
            request.body_length = length;
            request.trailers = trailers;
            request.is_complete = true;
        }
        Ok(())
    }

    /// A close with unread bytes is sent as a reset: what is there is read first.
    fn close_in_order(&mut self) {
        let stream = self.wire.stream();
        stream.shutdown(Shutdown::Write).ok();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .ok();
        self.wire.read_to_end().ok();
    }

    fn is_last_request(&self) -> bool {
        self.head.as_ref().is_some_and(|head| {
            head.headers.lists("connection", "close")
                || (head.word(2) == "HTTP/1.0" && !head.headers.lists("connection", "keep-alive"))
        })
    }
}

fn nth_or_last(scripts: &[Script], number: usize) -> &Script {
    scripts
        .get(number)
        .or(scripts.last())
        .expect("an upstream is given at least one script")
}
