//! The future of a layer that either hands a request on or refuses it at once.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::exchange::{Fault, Response};

pin_project_lite::pin_project! {
    /// What follows, or a refusal.
    #[must_use = "futures do nothing unless polled"]
    pub struct OrRefused<F> {
        #[pin]
        answer: Answer<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = AnswerProjection]
    enum Answer<F> {
        Passed { #[pin] inner: F },
        Refused { fault: Fault },
    }
}

// === impl OrRefused ===

impl<F> OrRefused<F> {
    /// The request was handed on to `inner`.
    pub fn passed(inner: F) -> Self {
        Self {
            answer: Answer::Passed { inner },
        }
    }

    /// It was not.
    pub fn refused(fault: Fault) -> Self {
        Self {
            answer: Answer::Refused { fault },
        }
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for OrRefused<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().answer.project() {
            AnswerProjection::Passed { inner } => inner.poll(cx),
            AnswerProjection::Refused { fault } => Poll::Ready(Err(*fault)),
        }
    }
}

impl<F> std::fmt::Debug for OrRefused<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.answer {
            Answer::Passed { .. } => "Passed",
            Answer::Refused { .. } => "Refused",
        })
    }
}
