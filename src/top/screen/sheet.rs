//! A table of figures: columns, rows, how they are ordered and which of them are shown. Knows nothing of what it shows.

use std::cmp::Ordering;

/// What a cell shows, and what it is ordered by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    /// A figure, and as it is shown.
    Figure(f64, String),
    /// Nobody knows.
    None,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Figures stand to the right, and the largest come first where they are ordered by it.
    pub(super) is_figure: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Row<S> {
    pub(super) cells: Vec<Cell>,
    pub(super) is_bad: bool,
    /// What it is about; it is found again by it in the next round.
    pub(super) subject: S,
}

#[derive(Clone, Debug)]
pub(super) struct Sheet<S> {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row<S>>,
}

/// How a sheet is looked at.
#[derive(Clone, Debug)]
pub(super) struct Place<S> {
    /// The column that it is ordered by.
    pub(super) by: usize,
    pub(super) is_turned: bool,
    /// What is chosen.
    pub(super) chosen: Option<S>,
}

pub(super) const fn text(name: &'static str) -> Column {
    Column {
        name,
        is_figure: false,
    }
}

pub(super) const fn figure(name: &'static str) -> Column {
    Column {
        name,
        is_figure: true,
    }
}

// === impl Cell ===

impl Cell {
    pub(super) fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Figure(_, text) => text,
            Self::None => "-",
        }
    }

    /// What is not known comes last, whichever way the others stand.
    fn order(&self, other: &Self, is_turned: bool) -> Ordering {
        let turn = |order: Ordering| if is_turned { order.reverse() } else { order };
        match (self, other) {
            (Self::None, Self::None) => Ordering::Equal,
            (Self::None, _) => Ordering::Greater,
            (_, Self::None) => Ordering::Less,
            (Self::Figure(one, _), Self::Figure(two, _)) => turn(two.total_cmp(one)),
            (one, two) => turn(one.shown().cmp(two.shown())),
        }
    }
}

// === impl Sheet ===

impl<S: Clone + PartialEq> Sheet<S> {
    /// The rows that have this text in a cell, in this order; equal ones as they were.
    pub(super) fn arranged(&self, place: &Place<S>, filter: &str) -> Vec<&Row<S>> {
        let wanted = filter.to_lowercase();
        let has = |cell: &Cell| cell.shown().to_lowercase().contains(&wanted);
        let mut rows: Vec<&Row<S>> = self.rows.iter().collect();
        rows.retain(|row| wanted.is_empty() || row.cells.iter().any(has));
        rows.sort_by(
            |one, two| match (one.cells.get(place.by), two.cells.get(place.by)) {
                (Some(one), Some(two)) => one.order(two, place.is_turned),
                _ => Ordering::Equal,
            },
        );
        rows
    }

    /// How wide each column must be to show all.
    pub(super) fn widths(&self) -> Vec<usize> {
        let wide = |text: &str| text.chars().count();
        let cells = |at: usize| self.rows.iter().filter_map(move |row| row.cells.get(at));
        let widths = self.columns.iter().enumerate().map(|(at, column)| {
            let widest = cells(at).map(|cell| wide(cell.shown())).max();
            widest.unwrap_or_default().max(wide(column.name))
        });
        widths.collect()
    }

    /// As plain text, a line a row; nothing is cut.
    pub(super) fn plain(&self, place: &Place<S>) -> String {
        let widths = self.widths();
        let aligned = |text: &str, at: usize| match self.columns[at].is_figure {
            true => format!("{text:>width$}", width = widths[at]),
            false => format!("{text:<width$}", width = widths[at]),
        };
        let line = |texts: Vec<String>| format!("  {}\n", texts.join("  ").trim_end());
        let heads = self.columns.iter().enumerate();
        let mut out = line(heads.map(|(at, it)| aligned(it.name, at)).collect());
        for row in self.arranged(place, "") {
            let cells = row.cells.iter().enumerate().take(widths.len());
            out.push_str(&line(
                cells.map(|(at, it)| aligned(it.shown(), at)).collect(),
            ));
        }
        out
    }
}

// === impl Place ===

impl<S: Clone + PartialEq> Place<S> {
    pub(super) fn ordered_by(by: usize) -> Self {
        Self {
            by,
            is_turned: false,
            chosen: None,
        }
    }

    /// Where the chosen row stands; the first where it has gone or nothing was chosen.
    pub(super) fn at(&self, rows: &[&Row<S>]) -> usize {
        let is_it = |row: &&Row<S>| Some(&row.subject) == self.chosen.as_ref();
        rows.iter().position(is_it).unwrap_or_default()
    }

    /// Chooses the row so many further on, as far as there are rows.
    pub(super) fn step(&mut self, rows: &[&Row<S>], by: isize) {
        let last = rows.len().saturating_sub(1);
        let at = self.at(rows).saturating_add_signed(by).min(last);
        self.chosen = rows.get(at).map(|row| row.subject.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[text("NAME"), figure("RATE")];

    fn sheet() -> Sheet<u8> {
        let row = |subject, name: &str, rate: Option<f64>| Row {
            cells: vec![
                Cell::Text(name.to_owned()),
                rate.map_or(Cell::None, |rate| Cell::Figure(rate, rate.to_string())),
            ],
            is_bad: false,
            subject,
        };
        let rows = vec![
            row(1, "web", Some(9.0)),
            row(2, "cart", None),
            row(3, "api", Some(10.5)),
        ];
        Sheet {
            columns: COLUMNS,
            rows,
        }
    }

    fn order(place: &Place<u8>, filter: &str) -> Vec<u8> {
        let sheet = sheet();
        let rows = sheet.arranged(place, filter);
        rows.iter().map(|row| row.subject).collect()
    }

    #[test]
    fn rows_are_ordered_by_any_column_either_way_and_the_unknown_comes_last() {
        let mut place = Place::ordered_by(1);
        assert_eq!(order(&place, ""), [3, 1, 2]);
        place.is_turned = true;
        assert_eq!(order(&place, ""), [1, 3, 2]);
        assert_eq!(order(&Place::ordered_by(0), ""), [3, 2, 1]);
        assert_eq!(order(&Place::ordered_by(0), "A"), [3, 2]);
    }

    #[test]
    fn what_is_chosen_stays_chosen_wherever_it_moves() {
        let sheet = sheet();
        let mut place = Place::ordered_by(0);
        place.step(&sheet.arranged(&place, ""), 1);
        assert_eq!(place.chosen, Some(2));
        place.by = 1;
        assert_eq!(place.at(&sheet.arranged(&place, "")), 2);
        place.step(&sheet.arranged(&place, ""), 100);
        assert_eq!(place.chosen, Some(2));
        place.step(&sheet.arranged(&place, ""), -100);
        assert_eq!(place.chosen, Some(3));
        place.step(&[], 1);
        assert_eq!(place.chosen, None);
    }

    #[test]
    fn plain_text_has_a_head_and_columns() {
        let text = sheet().plain(&Place::ordered_by(1));
        assert_eq!(
            text,
            "  NAME  RATE\n  api   10.5\n  web      9\n  cart     -\n"
        );
    }
}
