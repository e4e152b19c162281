//! Links and the connections on them, as the live proxy carries them: what a toxic does to bytes on
//! their way, in messages.

use std::collections::VecDeque;

use super::{Planned, World};
use crate::dist::Random;
use crate::fault::Toxic;
use crate::fault::rules::{DOWN, Door, Flow, Gate, Rules, UP};
use crate::names::{Link, Store};
use crate::time::{Instant, Span};

use super::client::Request;
use super::http::HttpAnswer;

/// A bandwidth that was not used lets so much pass at once, as in the live proxy.
const CREDIT_MAX: Span = Span::from_millis(10);

/// A scenario's link with what is on it.
#[derive(Debug)]
pub(super) struct Wire {
    pub link: Link,
    pub peer: Peer,
    toxics: Vec<Toxic>,
    rules: Rules,
    /// By direction: the rules let everything pass at once.
    clear: [bool; 2],
    /// Connections that are not over.
    conns: Vec<usize>,
}

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Store(Store),
    /// By its place among the processes.
    Process(usize),
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// A store's client.
    Client(usize),
    /// One HTTP exchange.
    Exchange(usize),
}

/// Small, for one is looked at with every message: what a clear link never needs is in [`Lane`].
#[derive(Debug)]
pub(super) struct Conn {
    pub wire: usize,
    pub user: User,
    /// The proxy has its connection to the peer.
    connected: bool,
    /// The user has neither closed it nor been told that it is over.
    pub open: bool,
    /// The peer has not ended.
    served: bool,
    /// Nothing passes any more.
    over: bool,
    lossy: bool,
    ways: [Way; 2],
}

#[derive(Debug, Default)]
struct Way {
    /// When the last message reached the proxy: order is kept.
    last: Instant,
    /// Once a message was held up.
    lane: Option<Box<Lane>>,
}

/// What is held up on a connection, in one direction.
#[derive(Debug, Default)]
struct Lane {
    pipe: VecDeque<Item>,
    pump_at: Option<Instant>,
    paid_until: Instant,
    /// Bytes that have passed since an amount was set for them.
    counted: u64,
}

#[derive(Debug)]
struct Item {
    arrived: Instant,
    /// Which part of the jitter it gets, from -1 to 1, in units of 2^-31.
    share: i32,
    /// Its bytes have been charged to the bandwidth.
    charged: bool,
    message: Message,
}

#[derive(Debug)]
pub(super) enum Message {
    /// A store's client says hello on a new connection.
    Hello,
    Welcome,
    Request(Box<Request>),
    /// The request comes back with its result.
    Reply(Box<Request>),
    Http(usize),
    HttpAnswer(HttpAnswer),
    /// The peer has closed or reset the connection.
    End,
}

impl Message {
    /// About as many bytes as the live one has.
    const fn bytes(&self) -> u64 {
        match self {
            // The scripts are loaded.
            Self::Hello => 6_000,
            Self::Welcome => 600,
            Self::Request(_) | Self::HttpAnswer(_) => 250,
            Self::Http(_) => 500,
            Self::Reply(_) => 60,
            Self::End => 0,
        }
    }
}

impl Wire {
    pub const fn new(link: Link, peer: Peer) -> Self {
        let rules = Rules { door: Door::Open, flow: [Flow::CLEAR, Flow::CLEAR] };
        Self { link, peer, toxics: Vec::new(), rules, clear: [true, true], conns: Vec::new() }
    }
}

impl World {
    /// Opens a connection for the user. It learns by `connected` or `lost` what came of it.
    pub(super) fn connect(&mut self, user: User, wire: usize) -> Option<usize> {
        let rules = &self.wires[wire].rules;
        if rules.door != Door::Open {
            return None;
        }
        let goes_on = rules.connects();
        let conn = self.conns.len();
        self.conns.push(Conn {
            wire,
            user,
            connected: false,
            open: true,
            served: true,
            over: false,
            lossy: false,
            ways: [Way::default(), Way::default()],
        });
        self.wires[wire].conns.push(conn);
        if goes_on {
            self.plan_after_message(Planned::Upstream { conn });
        }
        Some(conn)
    }

    /// The proxy asks the peer for a connection.
    pub(super) fn upstream(&mut self, conn: usize) {
        let it = &mut self.conns[conn];
        if it.over || it.connected || !it.open {
            return;
        }
        if !self.wires[it.wire].rules.connects() {
            return;
        }
        let peer = self.wires[it.wire].peer;
        let accepts = match peer {
            Peer::Store(store) => self.accepts(store),
            Peer::Process(process) => self.processes[process].listens(),
        };
        if !accepts {
            self.end(conn);
            return;
        }
        let it = &mut self.conns[conn];
        it.connected = true;
        let first = match it.user {
            User::Client(_) => Message::Hello,
            User::Exchange(exchange) => Message::Http(exchange),
        };
        self.send(conn, UP, first, Span::ZERO);
    }

    /// Sends a message after `wait`, which is the sender's own doing.
    pub(super) fn send(&mut self, conn: usize, way: usize, message: Message, wait: Span) {
        let at = self.now + wait + self.delay_of_message();
        let last = &mut self.conns[conn].ways[way].last;
        let at = at.max(*last);
        *last = at;
        self.plan(at, Planned::Reach { conn: conn as u32, way: way as u8, message });
    }

    /// The message is at the proxy.
    pub(super) fn reach(&mut self, conn: usize, way: usize, message: Message) {
        let it = &mut self.conns[conn];
        if it.over {
            return;
        }
        let wire = &self.wires[it.wire];
        if wire.clear[way] && !it.ways[way].is_held_up() {
            self.deliver(conn, way, message);
        } else if wire.rules.flow[way].gate == Gate::Swallows {
            it.lossy = true;
        } else {
            let share = share(&mut self.random);
            let item = Item { arrived: self.now, share, charged: false, message };
            it.ways[way].lane.get_or_insert_default().pipe.push_back(item);
            self.pump(conn, way);
        }
    }

    /// Lets through what is due.
    pub(super) fn pump(&mut self, conn: usize, way: usize) {
        loop {
            let now = self.now;
            let it = &mut self.conns[conn];
            let flow = self.wires[it.wire].rules.flow[way];
            let Some(lane) = it.ways[way].lane.as_deref_mut() else { return };
            let Some(item) = lane.pipe.front_mut() else { return };
            match flow.gate {
                Gate::Held => return,
                Gate::Swallows => {
                    it.lossy = true;
                    lane.pipe.clear();
                    return;
                }
                Gate::Open => {}
            }
            let mut due = item.due(&flow);
            if due <= now && (flow.bytes_per_second.is_some() || flow.slices.is_some()) {
                let bytes = item.message.bytes();
                if !item.charged {
                    item.charged = true;
                    let (credit, price) = price(&flow, bytes);
                    lane.paid_until = lane.paid_until.max(now - credit) + price;
                }
                due = lane.paid_until - after_last_slice(&flow, bytes);
            }
            if due > now {
                if lane.pump_at.is_none_or(|planned| planned <= now || due < planned) {
                    lane.pump_at = Some(due);
                    self.plan(due, Planned::Pump { conn, way });
                }
                return;
            }
            let Some(item) = lane.pipe.pop_front() else { return };
            let Some(most) = flow.bytes_max else {
                lane.counted = 0;
                self.deliver(conn, way, item.message);
                continue;
            };
            lane.counted += item.message.bytes();
            let counted = lane.counted;
            // Of a message that is cut in two its receiver makes nothing.
            if counted <= most {
                self.deliver(conn, way, item.message);
            }
            if counted >= most && !self.conns[conn].over {
                return self.cut(conn);
            }
        }
    }

    fn deliver(&mut self, conn: usize, way: usize, message: Message) {
        let it = &self.conns[conn];
        if way == DOWN {
            if it.open {
                self.receive(conn, message);
            }
        } else if it.served {
            match self.wires[it.wire].peer {
                Peer::Store(store) => self.serve(store, conn, message),
                Peer::Process(process) => self.served_by_process(process, conn, message),
            }
        }
    }

    /// The user's end of a connection gets a message, when the user runs.
    pub(super) fn receive(&mut self, conn: usize, message: Message) {
        if !self.conns[conn].open {
            return;
        }
        let user = self.conns[conn].user;
        let process = match user {
            User::Client(client) => self.clients[client].owner.process(),
            User::Exchange(exchange) => self.exchanges[exchange].from.process(),
        };
        let Some(message) =
            self.unless_still(process, message, |message| Planned::Receive { conn: conn as u32, message })
        else {
            return;
        };
        if matches!(message, Message::End) {
            self.conns[conn].open = false;
            return match user {
                User::Client(client) => self.connection_lost(client, conn),
                User::Exchange(exchange) => self.exchange_failed(exchange, "the connection broke"),
            };
        }
        match (user, message) {
            (User::Client(client), Message::Welcome) => self.connected(client, conn),
            (User::Client(client), Message::Reply(request)) => self.replied(client, request),
            (User::Exchange(exchange), Message::HttpAnswer(answer)) => {
                self.conns[conn].open = false;
                self.exchange_answered(exchange, answer);
            }
            _ => debug_assert!(false, "a message that nobody awaits"),
        }
    }

    /// The peer has ended its side: the user is told as far as the link lets it through.
    pub(super) fn end(&mut self, conn: usize) {
        let it = &mut self.conns[conn];
        if it.served && !it.over {
            it.served = false;
            self.send(conn, DOWN, Message::End, Span::ZERO);
        }
    }

    /// Ends every connection to the peer, and says how many that were.
    pub(super) fn end_all_to(&mut self, peer: Peer) -> usize {
        let mut ended = 0;
        for wire in 0..self.wires.len() {
            if self.wires[wire].peer == peer {
                for conn in self.wires[wire].conns.clone() {
                    let it = &self.conns[conn];
                    if it.connected {
                        ended += usize::from(it.served && !it.over && it.open);
                        self.end(conn);
                    }
                }
            }
        }
        ended
    }

    /// How long the connection's user waits for an answer.
    pub(super) fn patience_on(&self, conn: usize) -> Span {
        match self.conns[conn].user {
            User::Client(client) => self.clients[client].patience,
            User::Exchange(_) => Span::MAX,
        }
    }

    /// The proxy itself resets the connection: no link stands between it and the user.
    fn reset(&mut self, conn: usize) {
        let it = &mut self.conns[conn];
        it.over = true;
        it.ways = Default::default();
        if it.open {
            self.plan_after_message(Planned::Receive { conn: conn as u32, message: Message::End });
        }
    }

    /// The proxy closes the connection on both sides.
    fn cut(&mut self, conn: usize) {
        self.conns[conn].served = false;
        self.reset(conn);
    }

    /// Puts a toxic on the links, or takes it off; `None` if one of them does not exist.
    pub(super) fn change_links(&mut self, links: &[Link], toxic: Toxic, on: bool) -> Option<usize> {
        let wires: Vec<usize> = links
            .iter()
            .map(|link| self.wires.iter().position(|wire| wire.link == *link))
            .collect::<Option<_>>()?;
        for &wire in &wires {
            let toxics = &mut self.wires[wire].toxics;
            if on {
                toxics.push(toxic);
            } else if let Some(place) = toxics.iter().position(|known| *known == toxic) {
                toxics.remove(place);
            }
            let rules = Rules::of(&self.wires[wire].toxics);
            self.wires[wire].rules = rules;
            self.wires[wire].clear = rules.flow.map(|flow| flow.is_clear());
            self.rules_changed(wire);
        }
        Some(wires.len())
    }

    fn rules_changed(&mut self, wire: usize) {
        let conns = &self.conns;
        let mut live = std::mem::take(&mut self.wires[wire].conns);
        live.retain(|&conn| !conns[conn].over && (conns[conn].open || conns[conn].busy()));
        let rules = self.wires[wire].rules;
        for &conn in &live {
            let is_lossy = self.conns[conn].lossy;
            let opens = rules.flow.iter().all(|flow| flow.gate != Gate::Swallows);
            if rules.door != Door::Open || is_lossy && opens {
                self.reset(conn);
                continue;
            }
            for way in [UP, DOWN] {
                self.pump(conn, way);
            }
            if !self.conns[conn].connected && rules.connects() {
                self.plan_after_message(Planned::Upstream { conn });
            }
        }
        live.extend(std::mem::take(&mut self.wires[wire].conns));
        self.wires[wire].conns = live;
    }
}

impl Conn {
    /// Something is under way on it, though nobody waits for it: it may still arrive.
    fn busy(&self) -> bool {
        self.ways.iter().any(Way::is_held_up)
    }
}

impl Way {
    fn is_held_up(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| !lane.pipe.is_empty())
    }
}

impl Item {
    fn due(&self, flow: &Flow) -> Instant {
        let latency = i128::from(flow.latency.as_nanos());
        let jitter = (i128::from(flow.jitter.as_nanos()) * i128::from(self.share)) >> 31;
        let passed =
            self.arrived + Span::from_nanos(u64::try_from((latency + jitter).max(0)).unwrap_or(u64::MAX));
        if matches!(self.message, Message::End) { passed + flow.close_delay } else { passed }
    }
}

/// How much of a rest counts for a message, and how long it takes.
fn price(flow: &Flow, bytes: u64) -> (Span, Span) {
    let sliced = flow
        .slices
        .map_or(Span::ZERO, |slices| slices.delay.saturating_mul(bytes.div_ceil(slices.average_size.max(1))));
    match flow.bytes_per_second {
        Some(rate) => (CREDIT_MAX, sliced + cost(bytes, rate)),
        None => (Span::ZERO, sliced),
    }
}

/// The wait after a message's last slice holds up only what follows.
fn after_last_slice(flow: &Flow, bytes: u64) -> Span {
    flow.slices.filter(|_| bytes > 0).map_or(Span::ZERO, |slices| slices.delay)
}

fn share(random: &mut Random) -> i32 {
    (random.below(1 << 32) as u32).cast_signed()
}

fn cost(bytes: u64, bytes_per_second: u64) -> Span {
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(bytes_per_second.max(1)));
    Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
