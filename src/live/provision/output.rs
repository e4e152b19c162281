//! What a fleet process writes, as events: lines that are [`FleetLine`]s, and lines that are not, with what
//! the scenario says that they say.

use crate::history::What;
use crate::live::clock;
use crate::live::sink::Sink;
use crate::names::ProcessName;
use crate::protocol::FleetEvent;
use crate::protocol::event::FleetLine;
use crate::scenario::ProcessSpec;
use crate::scenario::lines::LineReader;

/// A line of output in the history is cut here.
const LINE_BYTES_MAX: usize = 2_000;
/// A fleet's own line may be this long; what is longer is no event.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Turns one stream of a process (its standard output, or its standard error) into events.
#[derive(Debug)]
pub(super) struct OutputStream {
    sink: Sink,
    by: ProcessName,
    carries_events: bool,
    reader: LineReader,
    partial: Vec<u8>,
    /// The rest of an endless line is dropped up to its end.
    overflowed: bool,
}

impl OutputStream {
    pub(super) fn stdout(sink: Sink, of: &ProcessSpec) -> Self {
        Self {
            sink,
            by: of.name.clone(),
            carries_events: true,
            reader: LineReader::new(&of.lines),
            partial: Vec::new(),
            overflowed: false,
        }
    }

    pub(super) fn stderr(sink: Sink, of: &ProcessSpec) -> Self {
        Self { carries_events: false, ..Self::stdout(sink, of) }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// The stream has ended; what was written without a line end counts as a line.
    pub(super) fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = EVENT_BYTES_MAX - self.partial.len();
        self.overflowed |= bytes.len() > room;
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        let overflowed = std::mem::take(&mut self.overflowed);
        if self.carries_events
            && !overflowed
            && line.first() == Some(&b'{')
            && let Ok(event) = serde_json::from_slice::<FleetLine>(&line)
        {
            self.sink.send(event.at, self.by.clone(), What::Fleet(event.ev));
        } else {
            let (text, at) = (text_of(&line), clock::monotonic());
            let said: Vec<FleetEvent> = self.reader.read(&text, at).collect();
            self.sink.send(at, self.by.clone(), What::Line { text });
            for event in said {
                self.sink.send(at, self.by.clone(), What::Fleet(event));
            }
        }
    }
}

fn text_of(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]).into_owned();
    // A replacement character is longer than the byte that it replaces.
    while text.len() > LINE_BYTES_MAX {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::scenario::{LineRule, Program, Says};
    use crate::time::Instant;

    fn process(lines: Vec<LineRule>) -> ProcessSpec {
        ProcessSpec {
            lines,
            ..ProcessSpec::new(
                "worker-1".into(),
                "worker",
                1,
                Program::External { command: None, image: None, working_directory: None, recipe: None },
            )
        }
    }

    fn events_of(chunks: &[&[u8]]) -> Vec<What> {
        said_by(&process(Vec::new()), chunks)
    }

    fn said_by(process: &ProcessSpec, chunks: &[&[u8]]) -> Vec<What> {
        let (to, from) = mpsc::channel();
        let mut stream = OutputStream::stdout(Sink::new(to), process);
        for chunk in chunks {
            stream.push(chunk);
        }
        stream.finish();
        drop(stream);
        from.iter().map(|event| event.ev).collect()
    }

    #[test]
    fn a_foreign_line_is_kept_and_says_what_its_rule_says() {
        let took = LineRule { says: Says::Claimed, pattern: r"^took (?<job>\S+)$".into() };
        let events = said_by(&process(vec![took]), &[b"took a\x1b[31m<b>\r\n", b"idle\n"]);
        let job = "a\u{1b}[31m<b>".into();
        assert_eq!(
            events,
            [
                What::Line { text: "took a\u{1b}[31m<b>".into() },
                What::Fleet(FleetEvent::Claimed { job, attempt: 0, stalls: 0 }),
                What::Line { text: "idle".into() },
            ]
        );
    }

    #[test]
    fn an_event_line_may_arrive_in_pieces() {
        let line =
            serde_json::to_vec(&FleetLine { at: Instant::from_nanos(7), ev: FleetEvent::Ready { pid: 12 } })
                .unwrap();
        let (head, tail) = line.split_at(9);
        let events = events_of(&[b"starting\n", head, tail, b"\nlast words"]);
        assert_eq!(
            events,
            [
                What::Line { text: "starting".into() },
                What::Fleet(FleetEvent::Ready { pid: 12 }),
                What::Line { text: "last words".into() },
            ]
        );
    }

    #[test]
    fn an_endless_line_is_cut_and_bounded() {
        let chunk = [b'x'; 100_000];
        let events = events_of(&[&chunk, &chunk, &chunk, &chunk, b"\nnext\n"]);
        assert_eq!(
            events,
            [What::Line { text: "x".repeat(LINE_BYTES_MAX) }, What::Line { text: "next".into() }]
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_within_the_limit() {
        let events = events_of(&[&[0xff; 3_000], b"\n"]);
        let [What::Line { text }] = events.as_slice() else { panic!("one line expected: {events:?}") };
        assert!(text.len() <= LINE_BYTES_MAX);
    }
}
