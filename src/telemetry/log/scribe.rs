//! The thread that writes lines, so that a slow disk or a pipe that nobody reads holds up lines and nothing else.
//!
//! The telemetry thread makes the lines and hands them over in blocks; where several blocks wait already, the next is
//! dropped and counted. What cannot be written is dropped and counted too, and a file is opened anew before the next
//! block: a full disk or a vanished folder costs lines until it is put right.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::LogError;
use super::writer::Destination;
use crate::config::LogOutput;
use crate::telemetry::event::{Event, emit};
use crate::telemetry::ledger::{DropReason, Ledger, Signal};

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Scribe {
    orders: SyncSender<Order>,
    /// Empty buffers, to be filled again.
    empty: Receiver<Vec<u8>>,
    ledger: Arc<Ledger>,
}

enum Order {
    /// Write these lines, so many.
    Lines(Vec<u8>, u64),
    /// Let go of the file and open whatever then has its name.
    Reopen,
    /// From now on write here.
    Move(LogOutput),
    /// Say when everything before this is done.
    Tell(SyncSender<()>),
}

/// How many orders wait at most: a few blocks of lines.
const QUEUE: usize = 8;

// === impl Scribe ===

impl Scribe {
    pub(super) fn start(destination: Destination, ledger: &Arc<Ledger>) -> io::Result<Self> {
        let (orders, taken) = sync_channel(QUEUE);
        let (done, empty) = sync_channel(QUEUE);
        let books = Arc::clone(ledger);
        // Ends when the other end is dropped. Not joined: a write that never returns must not hold up the exit.
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || run(destination, &taken, &done, &books))?;
        Ok(Self {
            orders,
            empty,
            ledger: Arc::clone(ledger),
        })
    }

    /// Enters lines that came into being.
    pub(super) fn note_created(&self, count: u64) {
        self.ledger.account(Signal::Logs).create(count);
    }

    /// Has lines written; leaves an empty buffer in their place. Waits for nothing.
    pub(super) fn write(&self, lines: &mut Vec<u8>, count: u64) {
        let empty = self.empty.try_recv().unwrap_or_default();
        let order = Order::Lines(std::mem::replace(lines, empty), count);
        let reason = match self.orders.try_send(order) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => DropReason::QueueFull,
            Err(TrySendError::Disconnected(_)) => DropReason::WriteFailed,
        };
        self.ledger.account(Signal::Logs).drop(count, reason);
    }

    /// Has the file opened anew. The answer is whether that is on its way: where too much waits it must be asked again.
    pub(super) fn reopen(&self) -> bool {
        self.orders.try_send(Order::Reopen).is_ok()
    }

    /// Has lines written elsewhere from now on; else as [`Scribe::reopen`].
    pub(super) fn write_to(&self, output: &LogOutput) -> bool {
        self.orders.try_send(Order::Move(output.clone())).is_ok()
    }

    /// Waits until everything that was asked for is done, or for `limit`.
    pub(super) fn settle(&self, limit: Duration) {
        let (tell, told) = sync_channel(1);
        let mut order = Order::Tell(tell);
        let until = std::time::Instant::now() + limit;
        while let Err(TrySendError::Full(again)) = self.orders.try_send(order) {
            if std::time::Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
            order = again;
        }
        let _ = told.recv_timeout(until.saturating_duration_since(std::time::Instant::now()));
    }
}

fn run(
    mut destination: Destination,
    orders: &Receiver<Order>,
    done: &SyncSender<Vec<u8>>,
    ledger: &Ledger,
) {
    let account = ledger.account(Signal::Logs);
    // Lines lost since it last went well, where it does not now: said when that begins and when it is over.
    let mut failing: Option<u64> = None;
    for order in orders {
        match order {
            Order::Lines(mut lines, count) => {
                match destination.write(&lines) {
                    Ok(()) => {
                        account.export(count);
                        if let Some(lost) = failing.take() {
                            emit(Event::LogRecovered { lost });
                        }
                    }
                    Err((written, error)) => {
                        let lost = count - written.min(count);
                        account.export(written);
                        account.drop(lost, DropReason::WriteFailed);
                        if failing.is_none() {
                            let why = error.to_string();
                            emit(Event::LogFailing { why });
                        }
                        *failing.get_or_insert(0) += lost;
                        if !matches!(error, LogError::Closed) {
                            account.fail(&error.to_string()); // else that hides why it is closed
                        }
                    }
                }
                lines.clear();
                let _ = done.try_send(lines); // one too many is freed
            }
            Order::Reopen => {
                if let Err(error) = destination.reopen() {
                    account.fail(&error.to_string());
                }
            }
            Order::Move(output) => destination = Destination::closed(&output),
            Order::Tell(tell) => {
                let _ = tell.try_send(()); // whoever asked has gone
            }
        }
    }
}
