//! `sightglass top`: the whole proxy on a terminal, a round a second.
//!
//! ```text
//! ask    two threads that ask the admin port: rounds, and what the person wants to know
//! rows   the rows of each table, made of its JSON
//! sheet  a table: order, choice, text
//! look   what is looked at, and what each key does
//! draw   how that looks
//! ```

mod ask;
mod draw;
mod look;
mod rows;
mod sheet;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::port::PortError;
use ask::{Ask, News, Port};
use look::{Look, PANES, Wish};

/// How long a key may wait, and an answer.
const TURN: Duration = Duration::from_millis(50);
/// How often what is in flight is asked for, where it is shown.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// One look at everything, as text.
pub(super) fn once(admin: &str, token_file: Option<PathBuf>) -> Result<String, PortError> {
    let port = Port {
        admin: admin.to_owned(),
        token_file,
    };
    let mut look = Look::new(admin.to_owned(), false);
    look.take(News::Round(port.round()?));
    look.take(News::InFlight(port.in_flight()?));
    Ok(text(&look))
}

/// All tables, one under the other.
fn text(look: &Look) -> String {
    let mut out = format!("{}\n", draw::process(look));
    for finding in look.findings() {
        out.push_str(&format!("{}\n", super::read::text(&finding["sentence"])));
    }
    if look.findings().is_empty() {
        out.push_str("nothing is wrong\n");
    }
    for (pane, name) in PANES {
        out.push_str(&format!("\n{name}\n"));
        let sheet = look.sheet(pane);
        match sheet.rows.is_empty() {
            true => out.push_str("  nothing here\n"),
            false => out.push_str(&sheet.plain(look.place(pane))),
        }
    }
    out
}

/// Shows it until somebody quits. The terminal is as it was before, also after a panic.
pub(super) fn run(admin: &str, token_file: Option<PathBuf>, is_coloured: bool) -> io::Result<()> {
    let port = Port {
        admin: admin.to_owned(),
        token_file,
    };
    let (asks, news) = port.start()?;
    let look = Look::new(admin.to_owned(), is_coloured);
    let mut terminal = ratatui::try_init()?;
    let ended = turns(&mut terminal, look, &asks, &news);
    ratatui::try_restore()?;
    ended
}

fn turns(
    terminal: &mut DefaultTerminal,
    mut look: Look,
    asks: &SyncSender<Ask>,
    news: &Receiver<News>,
) -> io::Result<()> {
    let mut asked = Instant::now();
    let mut is_new = true;
    loop {
        while let Ok(told) = news.try_recv() {
            look.take(told);
            is_new = true;
        }
        if look.pane.is_in_flight() && look.over.is_empty() && asked.elapsed() >= IN_FLIGHT {
            asked = Instant::now();
            let _ = asks.try_send(Ask::InFlight); // the next turn asks again
        }
        if std::mem::take(&mut is_new) {
            terminal.draw(|frame| draw::draw(frame, &mut look))?;
        }
        if !event::poll(TURN)? {
            continue;
        }
        is_new = true; // a key, or another size
        let Event::Key(key) = event::read()? else {
            continue;
        };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        let ask = match look.key(key) {
            None => continue,
            Some(Wish::Quit) => return Ok(()),
            Some(Wish::Ask(ask)) => ask,
        };
        if asks.try_send(ask).is_err() {
            let why = "still waiting for the last answers";
            look.take(News::Trouble(why.to_owned()));
        }
    }
}
