//! The append-only JSON-lines log of a run: one event a line, written as it happens.

use std::io::{self, BufRead, Write};

use crate::history::{Event, Header, What};

/// Writes events as they come; each line is flushed, so that a crash loses at most the line in work.
#[derive(Debug)]
pub struct LogWriter<W: Write> {
    to: W,
    line: Vec<u8>,
}

impl<W: Write> LogWriter<W> {
    pub fn new(to: W) -> Self {
        Self { to, line: Vec::with_capacity(512) }
    }

    /// # Errors
    /// What the writer says.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        self.line.push(b'\n');
        self.to.write_all(&self.line)?;
        self.to.flush()
    }
}

/// A whole history: its header, and its events sorted by time (stable).
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    pub header: Header,
    pub events: Vec<Event>,
    /// The last line was cut off by a crash and left out.
    pub truncated: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("failed to read the history: {0}")]
    Io(#[from] io::Error),
    #[error("line {line} of the history is no event: {cause}")]
    Line { line: usize, cause: serde_json::Error },
    #[error("the history does not begin with a header")]
    NoHeader,
    #[error("the history has format {found}, this program reads {expected}", expected = crate::history::FORMAT)]
    Format { found: u32 },
}

impl History {
    /// Reads a log; a last line without its end (a crash) is left out and said so.
    ///
    /// # Errors
    /// If a whole line is no event, or the first is no header of a known format.
    pub fn read(mut from: impl BufRead) -> Result<Self, ReadError> {
        let mut events = Vec::new();
        let mut truncated = false;
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            if from.read_line(&mut text)? == 0 {
                break;
            }
            if !text.ends_with('\n') {
                truncated = true;
                break;
            }
            let event =
                serde_json::from_str(&text).map_err(|cause| ReadError::Line { line: number, cause })?;
            events.push(event);
        }
        Self::from_events(events, truncated)
    }

    /// # Errors
    /// If the first event is no header of a known format.
    pub fn from_events(mut events: Vec<Event>, truncated: bool) -> Result<Self, ReadError> {
        let Some(Event { ev: What::Header(header), .. }) = events.first() else {
            return Err(ReadError::NoHeader);
        };
        if header.format != crate::history::FORMAT {
            return Err(ReadError::Format { found: header.format });
        }
        let header = (**header).clone();
        // As a rule they are, and sorting would ask for memory all the same.
        if !events.is_sorted_by_key(|event| event.at) {
            events.sort_by_key(|event| event.at);
        }
        Ok(Self { header, events, truncated })
    }
}
