//! hyper's tasks, on this worker: an exchange never changes threads, and neither does what carries it.
//!
//! On HTTP/2 each stream is a task of hyper's. A client that does not take a stream's bytes leaves that task waiting for
//! its window, where it polls no body of ours: so the task itself can be cut, which resets the stream and leaves its
//! connection and all others alone.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

thread_local! {
    static POLLED: RefCell<Option<TaskCut>> = const { RefCell::new(None) };
}

/// Runs hyper's tasks on this worker.
#[derive(Clone, Copy, Debug)]
pub struct OnThisWorker;

/// Ends a task of [`OnThisWorker`] at its next poll.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskCut(Rc<Cell<bool>>);

pin_project_lite::pin_project! {
    /// A task that can be cut. `None` once it was.
    struct Cuttable<F> {
        #[pin]
        task: Option<F>,
        cut: TaskCut,
    }
}

// === impl OnThisWorker ===

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisWorker {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(Cuttable {
            task: Some(task),
            cut: TaskCut::default(),
        });
    }
}

// === impl TaskCut ===

impl TaskCut {
    /// That of the task which is being polled, if it is one of ours.
    pub(super) fn of_this_task() -> Option<Self> {
        POLLED.with_borrow(Clone::clone)
    }

    /// The task ends at its next poll.
    pub(super) fn cut(&self) {
        self.0.set(true);
    }
}

// === impl Cuttable ===

impl<F: Future> Future for Cuttable<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.cut.0.get() {
            this.task.set(None);
        }
        let Some(task) = this.task.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        let outer = POLLED.replace(Some(this.cut.clone()));
        let polled = task.poll(cx);
        POLLED.replace(outer);
        polled.map(|_| ())
    }
}
