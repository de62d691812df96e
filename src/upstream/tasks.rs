//! How hyper's tasks of one HTTP/2 connection run on this worker, and how we learn what the peer's SETTINGS say.
//!
//! hyper's client hands the task that reads and writes a connection to its executor and tells nobody when the peer has
//! said how many streams it takes (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113 §6.5.2). The figure can be asked for, so
//! it is asked for after each turn of that task: a lock that nobody else wants, once a turn, not once a request. A
//! connection that is shared before its peer has spoken gets streams refused.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::exchange::OnThisWorker;
use crate::telemetry::xray::Beam;

/// What h2 takes for the peer's figure until the peer has named it: one that no server is known to name. A peer that does
/// is taken to have spoken when the first answer is there.
pub(super) const UNTOLD: usize = 97;

/// Runs the tasks of one connection.
#[derive(Clone)]
pub(super) struct Tasks(Rc<Inner>);

struct Inner {
    is_begun: Cell<bool>,
    /// Where its one request is looked through.
    beam: Beam,
    after_turn: RefCell<Option<Box<dyn Fn()>>>,
}

pin_project_lite::pin_project! {
    /// The task that reads and writes the connection.
    struct Watched<F> {
        #[pin]
        task: F,
        tasks: Tasks,
    }
}

// === impl Tasks ===

impl Tasks {
    pub(super) fn new() -> Self {
        Self(Rc::new(Inner {
            is_begun: Cell::new(false),
            beam: Beam::here(),
            after_turn: RefCell::new(None),
        }))
    }

    /// Does this after each turn of the task that reads and writes the connection.
    pub(super) fn after_turn(&self, act: impl Fn() + 'static) {
        self.0.after_turn.replace(Some(Box::new(act)));
    }
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        // The first is the connection's own, the others are its requests' (hyper 1.12, `proto/h2/client.rs`).
        let beam = &self.0.beam;
        match (self.0.is_begun.replace(true), beam.is_on()) {
            (true, false) => OnThisWorker.execute(task),
            (true, true) => OnThisWorker.execute(beam.carry(task)),
            (false, is_on) => {
                let tasks = self.clone();
                let task = Watched { task, tasks };
                if is_on {
                    OnThisWorker.execute(beam.carry(task));
                } else {
                    OnThisWorker.execute(task);
                }
            }
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.task.poll(cx);
        if let Some(act) = this.tasks.0.after_turn.borrow().as_ref() {
            act();
        }
        polled
    }
}
