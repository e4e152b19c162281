//! Tasks on tokio with its clock paused: it jumps to the next timer when no task can run. Its timers are
//! exact to a millisecond.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use syncope::dist::Random;
use syncope::time::Span;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Counts;
use crate::workload::{ASKS, DELAY, EVERY, LOSS_PPM, TTL, Workload};

pub fn run(workload: &Workload) -> Counts {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    let world = Rc::new(World {
        random: RefCell::new(Random::stream(1, "bench")),
        events: Cell::new(0),
        mistakes: Cell::new(0),
    });
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        let start = Instant::now();
        let phases = |span: Span| {
            start + world.draw(|random| Span::from_nanos(random.below(span.as_nanos()))).to_std()
        };
        for _ in 0..workload.workers {
            let first = phases(EVERY);
            let fresh_until = Rc::new(Cell::new(first + (TTL - EVERY).to_std()));
            spawn_local(beat(world.clone(), first, fresh_until.clone()));
            spawn_local(ask(world.clone(), phases(ASKS), fresh_until));
        }
        sleep(Duration::from_secs(workload.span_s)).await;
    }));
    Counts { events: world.events.get(), mistakes: world.mistakes.get() }
}

struct World {
    random: RefCell<Random>,
    events: Cell<u64>,
    mistakes: Cell<u64>,
}

impl World {
    fn draw<T>(&self, draw: impl Fn(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    fn count(&self) {
        self.events.set(self.events.get() + 1);
    }
}

async fn beat(world: Rc<World>, mut next: Instant, fresh_until: Rc<Cell<Instant>>) {
    loop {
        sleep_until(next).await;
        next += EVERY.to_std();
        world.count();
        if world.draw(|random| random.below(1_000_000)) < u64::from(LOSS_PPM) {
            continue;
        }
        let delay = world.draw(|random| DELAY.sample(random)).to_std();
        let (world, fresh_until) = (world.clone(), fresh_until.clone());
        spawn_local(async move {
            sleep(delay).await;
            world.count();
            fresh_until.set(Instant::now() + TTL.to_std());
        });
    }
}

async fn ask(world: Rc<World>, mut next: Instant, fresh_until: Rc<Cell<Instant>>) {
    let mut suspected = false;
    loop {
        sleep_until(next).await;
        next += ASKS.to_std();
        world.count();
        let dead = Instant::now() > fresh_until.get();
        if dead && !suspected {
            world.mistakes.set(world.mistakes.get() + 1);
        }
        suspected = dead;
    }
}
