//! The future of a layer that either hands a request on, or refuses or answers it at once.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::exchange::{Fault, Response};

pin_project_lite::pin_project! {
    /// What follows, or a refusal, or an answer.
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
        Answered { response: Option<Response> },
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

    /// This layer has the answer.
    pub fn answered(response: Response) -> Self {
        Self {
            answer: Answer::Answered {
                response: Some(response),
            },
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
            AnswerProjection::Answered { response } => {
                Poll::Ready(Ok(response.take().unwrap_or_default())) // no future is polled after its end
            }
        }
    }
}

impl<F> std::fmt::Debug for OrRefused<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.answer {
            Answer::Passed { .. } => "Passed",
            Answer::Refused { .. } => "Refused",
            Answer::Answered { .. } => "Answered",
        })
    }
}
