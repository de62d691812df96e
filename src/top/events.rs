//! A stream of events as the admin port sends it (`text/event-stream`, HTML Standard §9.2), taken apart.

use super::port::PortError;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Its name, such as `exchange`.
    pub(super) name: String,
    /// What it carries.
    pub(super) data: String,
}

/// The stream so far.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The beginning of a line.
    line: Vec<u8>,
    name: String,
    data: String,
}

/// The largest event.
const LARGEST: usize = 64 << 20;

// === impl Events ===

impl Events {
    /// The events that these bytes complete.
    ///
    /// # Errors
    /// Where an event is larger than 64 MiB: that is no stream of ours.
    pub(super) fn push(&mut self, bytes: &[u8], admin: &str) -> Result<Vec<Told>, PortError> {
        let mut told = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() + self.data.len() > LARGEST {
                return Err(PortError::Silent {
                    address: admin.to_owned(),
                    why: format!("an event is larger than {} MiB", LARGEST >> 20),
                });
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                told.extend(self.line(String::from_utf8_lossy(&line).trim_end()));
            }
        }
        Ok(told)
    }

    /// An empty line ends an event; a comment begins with a colon.
    fn line(&mut self, line: &str) -> Option<Told> {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "" if line.is_empty() && !self.data.is_empty() => {
                return Some(Told {
                    name: std::mem::take(&mut self.name),
                    data: std::mem::take(&mut self.data),
                });
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_wherever_the_pieces_break() {
        let text = b": hello\n\nevent: exchange\ndata: {\"a\": 1}\n\nevent: missed\r\ndata: 3\r\ndata:4\r\n\r\n";
        for size in 1..text.len() {
            let mut events = Events::default();
            let told: Vec<Told> = text
                .chunks(size)
                .flat_map(|piece| events.push(piece, "").expect("small"))
                .collect();
            let told: Vec<(&str, &str)> = told.iter().map(|it| (&*it.name, &*it.data)).collect();
            assert_eq!(told, [("exchange", "{\"a\": 1}"), ("missed", "3\n4")]);
        }
    }
}
