//! hyper's tasks, on this worker: an exchange never changes threads, and neither does what carries it.
//!
//! On HTTP/2 each stream is a task of hyper's. A client that does not take a stream's bytes leaves that task waiting for
//! its window, where it polls no body of ours: so the task itself can be cut, which resets the stream and leaves its
//! connection and all others alone.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

thread_local! {
    static POLLED: RefCell<Option<TaskCut>> = const { RefCell::new(None) };
}

/// Runs hyper's tasks on this worker.
#[derive(Clone, Copy, Debug)]
pub struct OnThisWorker;

/// Runs the tasks of a client's HTTP/2 connection on this worker: one a stream, and one more where a stream has become a
/// tunnel. What a stream's task starts shares its end, since nobody else knows of it: hyper hands a tunnel's bytes to a
/// task that waits for the client's window, and would wait there for ever when the tunnel is gone.
#[derive(Clone, Copy, Debug)]
pub struct StreamsOnThisWorker;

/// Ends a task of [`OnThisWorker`] at its next poll.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskCut(Rc<CutState>);

#[derive(Debug, Default)]
struct CutState {
    is_cut: Cell<bool>,
    /// Those of the tasks that share it: nobody else could wake them.
    wakers: RefCell<Vec<Waker>>,
}

pin_project_lite::pin_project! {
    /// A task that can be cut. `None` once it was.
    struct Cuttable<F> {
        #[pin]
        task: Option<F>,
        cut: TaskCut,
        is_shared: bool,
    }
}

// === impl OnThisWorker ===

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisWorker {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(Cuttable {
            task: Some(task),
            cut: TaskCut::default(),
            is_shared: false,
        });
    }
}

// === impl StreamsOnThisWorker ===

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for StreamsOnThisWorker {
    fn execute(&self, task: F) {
        let parent = TaskCut::of_this_task();
        tokio::task::spawn_local(Cuttable {
            task: Some(task),
            is_shared: parent.is_some(),
            cut: parent.unwrap_or_default(),
        });
    }
}

// === impl TaskCut ===

impl TaskCut {
    /// That of the task which is being polled, if it is one of ours.
    pub(super) fn of_this_task() -> Option<Self> {
        POLLED.with_borrow(Clone::clone)
    }

    /// The task ends at its next poll, and what shares its end is woken for that.
    pub(super) fn cut(&self) {
        self.0.is_cut.set(true);
        for waker in self.0.wakers.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    fn woken_by(&self, waker: &Waker) {
        let mut wakers = self.0.wakers.borrow_mut();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

// === impl Cuttable ===

impl<F: Future> Future for Cuttable<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.cut.0.is_cut.get() {
            this.task.set(None);
        } else if *this.is_shared {
            this.cut.woken_by(cx.waker());
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
