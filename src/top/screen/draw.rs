//! How it looks: the process, the verdict, one table or what lies over it, the keys.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};

use super::look::{Look, Over, PANES, Pane};
use super::rows::Subject;
use super::sheet::{Place, Sheet};
use crate::top::read::{list, number, text};

/// The most findings that are shown; the rest is counted.
const FINDINGS: usize = 4;
/// The widest column, but for the last.
const WIDEST: usize = 44;

const KEYS: &str =
    "F1 Help  F4 Filter  F6 Order  Tab Table  Enter Look closer  v Why  F9 Drain  F10 Quit";

pub(super) fn draw(frame: &mut Frame<'_>, look: &mut Look) {
    let findings = findings(look);
    let tall = u16::try_from(findings.height()).unwrap_or(1);
    let [top, verdict, tabs, body, said, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(tall),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    look.height = body.height.saturating_sub(1).max(1);
    frame.render_widget(head(look), top);
    frame.render_widget(Paragraph::new(findings), verdict);
    frame.render_widget(titles(look), tabs);
    match look.over.last() {
        None => pane(frame, look, look.pane, body),
        Some(Over::Exchanges { sheet, place, .. }) => {
            table(frame, look, sheet, place, "", body);
        }
        Some(Over::Page { text, away, .. }) => {
            let page = Paragraph::new(text.as_str()).wrap(Wrap { trim: false });
            frame.render_widget(page.scroll((*away, 0)), body);
        }
    }
    frame.render_widget(last_words(look), said);
    frame.render_widget(Line::from(KEYS).style(dim(look)), keys);
}

/// The process, in a line.
pub(super) fn process(look: &Look) -> String {
    let process = &look.round["process"];
    let sum = |of: &str| {
        let routes = list(&look.round["routes"]["routes"]).iter();
        routes.filter_map(|it| number(&it[of])).sum::<f64>()
    };
    // What no route takes is an error, and seldom news.
    let (rate, errors) = (sum("rate"), sum("error_rate") - sum("unrouted_rate"));
    let share = if rate > 0.0 {
        errors / rate * 100.0
    } else {
        0.0
    };
    format!(
        "sightglass {}  {}  up {}  configuration {}  {rate:.0} requests/s  {share:.1} % failed",
        text(&process["version"]),
        look.admin,
        span(number(&process["uptime_seconds"]).unwrap_or_default()),
        text(&process["config_generation"]),
    )
}

fn head(look: &Look) -> Line<'static> {
    let style = Style::new().add_modifier(Modifier::BOLD);
    match &look.away {
        None => Line::styled(process(look), style),
        Some(why) => Line::styled(
            format!("{}: {why}; asking again", look.admin),
            bad(look).add_modifier(Modifier::BOLD),
        ),
    }
}

/// What is wrong, the worst first.
fn findings(look: &Look) -> Text<'static> {
    let all = look.findings();
    if all.is_empty() {
        let calm = match (&look.away, look.round.is_null()) {
            (Some(_), _) => "nobody can say whether anything is wrong",
            (None, true) => "asking",
            (None, false) => "nothing is wrong",
        };
        return Text::styled(calm, dim(look));
    }
    let mut lines: Vec<Line<'static>> = all
        .iter()
        .take(FINDINGS)
        .map(|it| Line::styled(text(&it["sentence"]), bad(look)))
        .collect();
    if all.len() > FINDINGS {
        lines.push(Line::styled(
            format!("and {} more", all.len() - FINDINGS),
            bad(look),
        ));
    }
    Text::from(lines)
}

fn titles(look: &Look) -> Line<'_> {
    match look.over.last() {
        Some(Over::Exchanges { title, .. } | Over::Page { title, .. }) => Line::from(vec![
            Span::styled(format!(" {title} "), chosen()),
            Span::styled("  Esc goes back", dim(look)),
        ]),
        None => {
            let title = |(at, (pane, name)): (usize, &(Pane, &str))| {
                let style = match *pane == look.pane {
                    true => chosen(),
                    false => Style::new(),
                };
                Span::styled(format!(" {} {name} ", at + 1), style)
            };
            Line::from_iter(PANES.iter().enumerate().map(title))
        }
    }
}

fn pane(frame: &mut Frame<'_>, look: &Look, pane: Pane, area: Rect) {
    table(
        frame,
        look,
        &look.sheet(pane),
        look.place(pane),
        &look.filter,
        area,
    );
}

fn table(
    frame: &mut Frame<'_>,
    look: &Look,
    sheet: &Sheet<Subject>,
    place: &Place<Subject>,
    filter: &str,
    area: Rect,
) {
    let rows = sheet.arranged(place, filter);
    if rows.is_empty() {
        let why = match filter.is_empty() {
            true => "nothing here",
            false => "no row has this text in it; Esc shows all",
        };
        return frame.render_widget(Line::styled(why, dim(look)), area);
    }
    let aligned = |content: String, at: usize| {
        let side = match sheet.columns[at].is_figure {
            true => Alignment::Right,
            false => Alignment::Left,
        };
        Cell::from(Text::from(content).alignment(side))
    };
    let heads = sheet.columns.iter().enumerate().map(|(at, column)| {
        let sign = match (at == place.by, place.is_turned) {
            (true, false) => "▼",
            (true, true) => "▲",
            _ => "",
        };
        aligned(format!("{}{sign}", column.name), at)
    });
    let head = Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD));
    let lines = rows.iter().map(|row| {
        let cells = row.cells.iter().enumerate().take(sheet.columns.len());
        let style = if row.is_bad { bad(look) } else { Style::new() };
        Row::new(cells.map(|(at, cell)| aligned(cell.shown().to_owned(), at))).style(style)
    });
    let widths = sheet.widths().into_iter().map(|width| {
        let width = (width + 1).min(WIDEST); // and the sign of the order
        Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
    });
    let table = Table::new(lines, widths)
        .header(head)
        .column_spacing(2)
        .row_highlight_style(chosen());
    let mut state = TableState::default().with_selected(place.at(&rows));
    frame.render_stateful_widget(table, area, &mut state);
}

/// What is being asked for or was done; else the text that rows must have.
fn last_words(look: &Look) -> Line<'_> {
    if let Some((upstream, endpoint)) = &look.holding {
        let ask = format!(
            "{endpoint} of {upstream}:  d drain for 10 minutes   o off for 10 minutes   r ready   any other key: leave it"
        );
        return Line::styled(ask, Style::new().add_modifier(Modifier::BOLD));
    }
    match &look.said {
        Some((what, true)) => Line::styled(what.as_str(), bad(look)),
        Some((what, false)) => Line::from(what.as_str()),
        None if look.is_typing => Line::from(format!("filter: {}_", look.filter)),
        None if !look.filter.is_empty() => Line::from(format!("filter: {}", look.filter)),
        None => Line::default(),
    }
}

fn bad(look: &Look) -> Style {
    match look.is_coloured {
        true => Style::new().fg(Color::Red),
        false => Style::new().add_modifier(Modifier::BOLD),
    }
}

fn dim(look: &Look) -> Style {
    match look.is_coloured {
        true => Style::new().fg(Color::DarkGray),
        false => Style::new(),
    }
}

fn chosen() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

/// A time in its two largest units.
fn span(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let seconds = seconds as u64;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
