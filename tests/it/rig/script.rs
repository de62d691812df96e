//! What a scripted upstream does, step by step, and the gate it can be made to wait at.
//!
//! A script is data, so that a test reads as the story of one connection: read the head, send half an answer, wait until
//! the test says so, reset. Steps are bytes and moments, never "respond with": where a test only needs a sane answer,
//! [`Upstream::ok`](super::Upstream::ok) and its sisters write the script.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::upstream::Request;
use super::wire::Keep;

/// The steps of one request, or of one connection.
#[derive(Clone, Default)]
pub(crate) struct Script(pub(super) Vec<Step>);

/// What makes the bytes of an answer from the request that was read last.
type Answering = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

#[derive(Clone)]
pub(super) enum Step {
    ReadHead,
    ReadBody(Keep),
    ReadToEnd,
    ContinueIfExpected,
    Send(Vec<u8>),
    SendSlowly {
        bytes: Vec<u8>,
        piece: usize,
        pause: Duration,
    },
    SendRepeated {
        bytes: Vec<u8>,
        times: usize,
    },
    Answer(Arc<Answering>),
    Wait(Gate),
    Pause(Duration),
    HalfClose,
    Reset,
    Close,
}

/// A point where scripts wait until the test opens it; open, it stays open.
///
/// ```ignore
/// let gate = Gate::new();
/// let upstream = Upstream::script(Script::new().read_head().wait(&gate).send(reply(200, &[], b"late")));
/// // …
/// wait_until("the request is stalled", || gate.waiting() == 1);
/// gate.open();
/// ```
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    is_open: bool,
    waiting: usize,
}

// === impl Script ===

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Reads a request head and records the request. At the end of the stream the script ends.
    pub(crate) fn read_head(self) -> Self {
        self.then(Step::ReadHead)
    }

    /// Reads the body of the request whose head was read.
    pub(crate) fn read_body(self) -> Self {
        self.then(Step::ReadBody(Keep::Bytes))
    }

    /// Reads the body and keeps only its length: for bodies of any size.
    pub(crate) fn discard_body(self) -> Self {
        self.then(Step::ReadBody(Keep::LengthOnly))
    }

    /// Reads until the other side closes or resets: how a test sees that it did.
    pub(crate) fn read_to_end(self) -> Self {
        self.then(Step::ReadToEnd)
    }

    /// Sends `100 Continue` where the request asks for it.
    pub(crate) fn continue_if_expected(self) -> Self {
        self.then(Step::ContinueIfExpected)
    }

    /// Sends bytes as they are; [`reply`](super::reply) writes a whole response.
    pub(crate) fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends `piece` bytes at a time with a pause after each.
    pub(crate) fn send_slowly(
        self,
        bytes: impl AsRef<[u8]>,
        piece: usize,
        pause: Duration,
    ) -> Self {
        self.then(Step::SendSlowly {
            bytes: bytes.as_ref().to_vec(),
            piece,
            pause,
        })
    }

    /// Sends the same bytes many times: a body of any size.
    pub(crate) fn send_repeated(self, bytes: impl AsRef<[u8]>, times: usize) -> Self {
        self.then(Step::SendRepeated {
            bytes: bytes.as_ref().to_vec(),
            times,
        })
    }

    /// Sends what `answer` makes of the request that was read last.
    pub(crate) fn answer(
        self,
        answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.then(Step::Answer(Arc::new(answer)))
    }

    /// Stalls until the gate is open.
    pub(crate) fn wait(self, gate: &Gate) -> Self {
        self.then(Step::Wait(gate.clone()))
    }

    /// Lets time pass: for what is about time itself. To wait for a state, use a [`Gate`].
    pub(crate) fn pause(self, pause: Duration) -> Self {
        self.then(Step::Pause(pause))
    }

    /// Ends the sending side and keeps reading.
    pub(crate) fn half_close(self) -> Self {
        self.then(Step::HalfClose)
    }

    /// Ends the connection with a TCP reset.
    pub(crate) fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Ends the connection in good order.
    pub(crate) fn close(self) -> Self {
        self.then(Step::Close)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets everyone through, now and later.
    pub(crate) fn open(&self) {
        self.state().is_open = true;
        self.0.1.notify_all();
    }

    /// How many wait at the gate now.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Waits until the gate is open or `is_over` says that there is nothing left to wait for.
    pub(crate) fn pass(&self, is_over: impl Fn() -> bool) {
        let mut state = self.state();
        state.waiting += 1;
        while !state.is_open && !is_over() {
            state = self
                .0
                .1
                .wait_timeout(state, Duration::from_millis(20))
                .expect("no holder of the gate panics")
                .0;
        }
        state.waiting -= 1;
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.0.0.lock().expect("no holder of the gate panics")
    }
}
