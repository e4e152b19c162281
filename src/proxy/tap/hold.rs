//! What a tap keeps back of a connection's bytes.

use super::gate::{Gates, Mask};
use super::{Dialogue, Foreign, Heard, postgres, resp};
use crate::names::Store;

/// What may be kept back of one direction before it is known whether it is what a gate waits for. A command
/// that is longer and still may be is taken for another.
const HELD_MAX: usize = 4 << 20;

/// The tap of one connection.
pub struct Tap {
    /// `None` once it has stepped aside.
    dialogue: Option<Box<dyn Dialogue + Send>>,
    hold: [Hold; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Hold {
    /// The offset of `bytes` in the stream; of the next byte if there are none.
    base: u64,
    /// Kept back.
    bytes: Vec<u8>,
    /// So many of them were looked at.
    parsed: usize,
    /// The gates that hold them.
    caught: Mask,
}

/// What may flow now.
#[derive(Debug)]
pub struct Flow {
    pub bytes: Bytes,
    /// Gates that have just closed; what they hold follows on what flows.
    pub caught: Mask,
    /// The tap has just stepped aside.
    pub aside: Option<Foreign>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Bytes {
    /// So many of the chunk's first.
    Chunk(usize),
    /// These, and none of the chunk.
    Held(Vec<u8>),
}

impl Tap {
    pub fn new(store: Store) -> Self {
        let dialogue: Box<dyn Dialogue + Send> = match store {
            Store::Redis => Box::new(resp::Resp::default()),
            Store::Postgres => Box::new(postgres::Postgres::default()),
        };
        Self { dialogue: Some(dialogue), hold: Default::default() }
    }

    /// Whether a gate holds this direction.
    pub fn is_held(&self, direction: usize) -> bool {
        self.hold[direction].caught != 0
    }

    pub fn held_by(&self, direction: usize) -> Mask {
        self.hold[direction].caught
    }

    /// How many bytes are kept back.
    pub fn held_bytes(&self, direction: usize) -> usize {
        self.hold[direction].bytes.len()
    }

    /// The command that was caught last.
    pub fn brief(&self) -> &str {
        self.dialogue.as_ref().map_or("", |dialogue| dialogue.brief())
    }

    /// Takes in what was read.
    pub fn take(&mut self, direction: usize, chunk: &[u8], gates: &mut Gates, port: usize) -> Flow {
        let Self { dialogue, hold } = self;
        let hold = &mut hold[direction];
        if hold.bytes.is_empty() && hold.caught == 0 {
            let Some(heard) = dialogue.as_mut().map(|it| it.hear(direction, chunk, hold.base, gates, port))
            else {
                return Flow { bytes: Bytes::Chunk(chunk.len()), caught: 0, aside: None };
            };
            return match heard {
                Ok(Heard { flow, parsed, caught }) => {
                    let flows = place(flow, hold.base).min(chunk.len());
                    hold.parsed = place(parsed, flow);
                    hold.base = flow;
                    hold.bytes.extend_from_slice(&chunk[flows..]);
                    hold.caught = caught;
                    Flow { bytes: Bytes::Chunk(flows), caught, aside: None }
                }
                Err(foreign) => {
                    *dialogue = None;
                    Flow { bytes: Bytes::Chunk(chunk.len()), caught: 0, aside: Some(foreign) }
                }
            };
        }
        hold.bytes.extend_from_slice(chunk);
        if hold.caught != 0 {
            return Flow { bytes: Bytes::Held(Vec::new()), caught: 0, aside: None };
        }
        self.go_on(direction, gates, port)
    }

    /// The gate holds nothing any more. What then may flow; nothing if another gate holds it, too.
    pub fn open(&mut self, direction: usize, gate: Mask, gates: &mut Gates, port: usize) -> Flow {
        self.hold[direction].caught &= !gate;
        if self.hold[direction].caught != 0 {
            return Flow { bytes: Bytes::Held(Vec::new()), caught: 0, aside: None };
        }
        self.go_on(direction, gates, port)
    }

    /// Nothing more will come in this direction: what is kept back, unless a gate holds it.
    pub fn end(&mut self, direction: usize) -> Vec<u8> {
        let hold = &mut self.hold[direction];
        if hold.caught != 0 { Vec::new() } else { std::mem::take(&mut hold.bytes) }
    }

    /// Looks at what is kept back and was not looked at.
    fn go_on(&mut self, direction: usize, gates: &mut Gates, port: usize) -> Flow {
        let Self { dialogue, hold } = self;
        let hold = &mut hold[direction];
        let base = hold.base + hold.parsed as u64;
        let heard = match dialogue {
            Some(dialogue) => {
                let mut heard = dialogue.hear(direction, &hold.bytes[hold.parsed..], base, gates, port);
                if let Ok(heard) = &mut heard
                    && heard.caught == 0
                    && hold.bytes.len() - place(heard.flow, hold.base) > HELD_MAX
                {
                    dialogue.give_up(direction);
                    heard.flow = heard.parsed;
                }
                heard
            }
            None => {
                let end = hold.base + hold.bytes.len() as u64;
                Ok(Heard { flow: end, parsed: end, caught: 0 })
            }
        };
        let (heard, aside) = match heard {
            Ok(heard) => (heard, None),
            Err(foreign) => {
                *dialogue = None;
                let end = hold.base + hold.bytes.len() as u64;
                (Heard { flow: end, parsed: end, caught: 0 }, Some(foreign))
            }
        };
        let flows = place(heard.flow, hold.base).min(hold.bytes.len());
        let kept = hold.bytes.split_off(flows);
        let bytes = std::mem::replace(&mut hold.bytes, kept);
        hold.parsed = place(heard.parsed, heard.flow);
        hold.base = heard.flow;
        hold.caught = heard.caught;
        Flow { bytes: Bytes::Held(bytes), caught: heard.caught, aside }
    }
}

/// How far an offset lies behind another.
fn place(offset: u64, base: u64) -> usize {
    usize::try_from(offset.saturating_sub(base)).unwrap_or(usize::MAX)
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("aside", &self.dialogue.is_none()).field("hold", &self.hold).finish()
    }
}
