//! Faults: whom they are on, and what sets them off.

use super::{Context, clock, trouble, wire};
use crate::fault::misfit::Misfit;
use crate::fault::trouble::Trouble;
use crate::fault::{
    Direction, Fault, FaultId, FaultKind, JobRef, LinkSelector, Signal, Target, Toxic, Trigger,
};
use crate::names::{Endpoint, PRODUCER, ProcessName, Store};
use crate::scenario::decode::{Field, Placed, list, unknown};
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw::fault as raw;
use crate::scenario::raw::fleet::store_named;
use crate::scenario::raw::misfit::Misfit as Wrong;
use crate::scenario::scalar::{Name, Whole, job_number};
use crate::scenario::{Fleet, ProcessSpec, Stack};
use crate::time::Span;

/// What faults can be on. `None` is unknown: the file is wrong there.
pub(super) struct World<'a> {
    pub fleet: Option<&'a Fleet>,
    pub stack: Option<&'a Stack>,
    pub jobs: Option<u32>,
    pub steps: Option<u32>,
    /// The names of the watches.
    pub watches: Vec<&'a str>,
}

/// The good ones; the others are reported.
pub(super) fn resolve(
    raw: &crate::scenario::raw::Scenario,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<Placed<Fault>> {
    let mut faults = Vec::new();
    let entries = raw.faults.value().map(Vec::as_slice).unwrap_or_default();
    if let Some(beyond) = entries.get(FAULTS_MAX) {
        context
            .report
            .add(Code::OutOfRange, beyond.place, format!("there are {} faults", entries.len()))
            .hint(format!("at most {FAULTS_MAX}"));
    }
    for (position, entry) in entries.iter().take(FAULTS_MAX).enumerate() {
        let kind = entry.value.kind.as_ref().and_then(|kind| kind_of(&kind.value, world, context));
        let when = entry.value.when.value().and_then(|when| trigger(when, world, context));
        if let (Some(kind), Some(when)) = (kind, when) {
            let id = FaultId(position as u16);
            faults.push(Placed { value: Fault { id, kind, when }, place: entry.place });
        }
    }
    wire::too_many(&faults, context.report);
    faults
}

const FAULTS_MAX: usize = 200;

/// Marks the processes whose clock a fault may fake.
pub(super) fn fake_clocks(fleet: &mut Fleet, faults: &[Fault]) {
    for fault in faults {
        let (FaultKind::ClockStep { target, .. }
        | FaultKind::ClockDrift { target, .. }
        | FaultKind::ClockStrobe { target, .. }) = &fault.kind
        else {
            continue;
        };
        let names: Vec<ProcessName> = candidates(target, fleet).cloned().collect();
        for process in fleet.processes.iter_mut().filter(|process| names.contains(&process.name)) {
            process.fake_clock = true;
        }
    }
}

/// Every process that the target may turn out to be.
pub(super) fn candidates<'f>(target: &'f Target, fleet: &'f Fleet) -> impl Iterator<Item = &'f ProcessName> {
    let may_be = move |process: &ProcessSpec| match target {
        Target::Process(name) => process.name == *name,
        Target::Role(role) | Target::AnyOf(role) => process.role == *role,
        // Only workers hold jobs; which of a foreign fleet's processes do is not known.
        Target::HolderOf(_) => fleet.system == "external" || process.works_on_jobs(),
    };
    fleet.processes.iter().filter(move |process| may_be(process)).map(|process| &process.name)
}

fn kind_of(kind: &raw::FaultKind, world: &World<'_>, context: &mut Context<'_, '_>) -> Option<FaultKind> {
    Some(match kind {
        raw::FaultKind::Kill(kill) => FaultKind::Kill {
            target: target(&kill.value.target, world, context.report)?,
            signal: kill.value.signal.value().copied().unwrap_or(Signal::Kill),
            restart_after: context.optional(&kill.value.restart_after),
        },
        raw::FaultKind::Stop(stop) => {
            let target = target(&stop.value.target, world, context.report)?;
            let grace = context.optional(&stop.value.grace).unwrap_or_else(|| grace(&target, world));
            FaultKind::Stop { target, grace, restart_after: context.optional(&stop.value.restart_after) }
        }
        raw::FaultKind::Restart(restart) => {
            let target = target(&restart.value.target, world, context.report)?;
            let grace = context.optional(&restart.value.grace).unwrap_or_else(|| grace(&target, world));
            FaultKind::Restart { target, grace }
        }
        raw::FaultKind::Pause(pause) => FaultKind::Pause {
            target: target(&pause.value.target, world, context.report)?,
            lasting: context.optional(&pause.value.lasting)?,
        },
        raw::FaultKind::Pauses(pauses) => FaultKind::Pauses {
            target: target(&pauses.value.target, world, context.report)?,
            lasting: context.distribution(pauses.value.lasting.given()?)?,
            gap: context.distribution(pauses.value.gap.given()?)?,
            count: pauses.value.count.value()?.0 as u32,
        },
        raw::FaultKind::ScaleToZero(scale) => FaultKind::ScaleToZero {
            role: role(scale.value.role.given()?, world, context.report)?,
            lasting: context.optional(&scale.value.lasting),
        },
        raw::FaultKind::Outage(outage) => {
            let store = outage.value.store.given()?;
            require_store(store.value, store.place, world, context.report)?;
            FaultKind::Outage {
                store: store.value,
                how: *outage.value.how.value()?,
                lasting: context.optional(&outage.value.lasting)?,
            }
        }
        raw::FaultKind::ClockStep(step) => clock::step(step, world, context)?,
        raw::FaultKind::ClockDrift(drift) => clock::drift(drift, world, context)?,
        raw::FaultKind::ClockStrobe(strobe) => FaultKind::ClockStrobe {
            target: target(&strobe.value.target, world, context.report)?,
            by: context.signed(strobe.value.by.value()?.0),
            every: context.positive(&strobe.value.every, Span::ZERO, "every", strobe.place),
            lasting: context.optional(&strobe.value.lasting)?,
        },
        raw::FaultKind::CrashLoop(crash) => FaultKind::CrashLoop {
            target: target(&crash.value.target, world, context.report)?,
            runs_for: context.optional(&crash.value.runs_for)?,
            restart_after: context.span(&crash.value.restart_after, Span::ZERO),
            count: crash.value.count.value()?.0 as u32,
        },
        raw::FaultKind::Misconfigure(fault) => {
            let target = target(&fault.value.target, world, context.report)?;
            let grace = context.optional(&fault.value.grace).unwrap_or_else(|| grace(&target, world));
            let misfit = match fault.value.how.value()? {
                Wrong::NoProgram(_) => Misfit::NoProgram,
                Wrong::NoVariable(name) => Misfit::NoVariable { name: name.value.0.clone() },
                Wrong::NoTool(tool) => Misfit::NoTool { tool: tool.value },
                Wrong::Prefix(prefix) => Misfit::Prefix { prefix: prefix.value.0.clone() },
                Wrong::AnotherRedis(it) => {
                    require_store(Store::Redis, it.place, world, context.report)?;
                    Misfit::AnotherRedis
                }
                Wrong::Database(number) => Misfit::Database { number: number.value.0 as u32 },
            };
            FaultKind::Misconfigure {
                target,
                misfit,
                grace,
                lasting: context.optional(&fault.value.lasting)?,
            }
        }
        raw::FaultKind::ThrottleCpu(throttle) => FaultKind::Throttle {
            target: target(&throttle.value.target, world, context.report)?,
            share: throttle.value.share.value()?.0,
            lasting: context.optional(&throttle.value.lasting)?,
        },
        raw::FaultKind::OutOfMemory(fault) => FaultKind::OutOfMemory {
            target: target(&fault.value.target, world, context.report)?,
            limit: fault.value.limit_mib.value().map_or(16, |Whole(mib)| *mib) << 20,
            every: context.optional(&fault.value.every).unwrap_or_default(),
            restart_after: context.optional(&fault.value.restart_after),
        },
        raw::FaultKind::Network(network) => FaultKind::Network {
            links: links(network, world, context.report)?,
            toxic: toxic(network.value.toxic.value()?, context)?,
            lasting: context.optional(&network.value.lasting)?,
        },
        raw::FaultKind::DeleteKeys(delete) => {
            require_store(Store::Redis, delete.place, world, context.report)?;
            let hint = "in full: `keys: [\"syncope:test:workers:global\"]`";
            FaultKind::DeleteKeys { keys: trouble::keys(&delete.value.keys, hint, context)? }
        }
        raw::FaultKind::ExpireKeys(keys) => trouble::expire_keys(keys, world, context)?,
        raw::FaultKind::RedisMaxmemory(memory) => trouble::max_memory(memory, world, context)?,
        raw::FaultKind::RedisSlow(slow) => trouble::slow(slow, world, context)?,
        raw::FaultKind::RedisWipe(wipe) => trouble::at_once(Trouble::Wipe, wipe.place, world, context)?,
        raw::FaultKind::TerminateBackends(all) => {
            trouble::at_once(Trouble::TerminateBackends, all.place, world, context)?
        }
        raw::FaultKind::ExhaustConnections(fault) => {
            let (place, lasting) = (fault.place, &fault.value.lasting);
            trouble::lasting(Trouble::ExhaustConnections, place, lasting, world, context)?
        }
        raw::FaultKind::LockTable(lock) => trouble::lock_table(lock, world, context)?,
        raw::FaultKind::DiskFull(disk) => trouble::disk_full(disk, world, context)?,
        raw::FaultKind::OperatorSql(sql) => {
            let statement = sql.value.statement.given()?.text().to_owned();
            trouble::at_once(Trouble::Operate { statement }, sql.place, world, context)?
        }
        raw::FaultKind::Replay(replay) => trouble::replay(replay, world, context)?,
        raw::FaultKind::ReadOnly(fault) => {
            let (place, lasting) = (fault.place, &fault.value.lasting);
            trouble::lasting(Trouble::ReadOnly, place, lasting, world, context)?
        }
    })
}

/// The longest grace among those that the target may be.
fn grace(target: &Target, world: &World<'_>) -> Span {
    let Some(fleet) = world.fleet else {
        return Span::ZERO;
    };
    let names: Vec<_> = candidates(target, fleet).collect();
    let targeted = fleet.processes.iter().filter(|process| names.contains(&&process.name));
    targeted.map(|process| process.grace).max().unwrap_or_default()
}

fn target(field: &Field<raw::Target>, world: &World<'_>, report: &mut Report<'_>) -> Option<Target> {
    target_of(field.value()?, world, report)
}

pub(super) fn target_of(raw: &raw::Target, world: &World<'_>, report: &mut Report<'_>) -> Option<Target> {
    Some(match raw {
        raw::Target::Process(name) => Target::Process(process(name, world, report)?),
        raw::Target::Role(name) => Target::Role(role(name, world, report)?),
        raw::Target::Any(name) => Target::AnyOf(role(name, world, report)?),
        raw::Target::HolderOf(job) => Target::HolderOf(job_ref(Some(job), world, report)?),
    })
}

/// Unchecked if the fleet is unknown: its own errors come first.
fn process(name: &Placed<Name>, world: &World<'_>, report: &mut Report<'_>) -> Option<ProcessName> {
    let fleet = world.fleet?;
    let known = fleet.processes.iter().map(|process| process.name.as_str());
    if known.clone().any(|known| known == name.text()) {
        return Some(ProcessName::new(name.text()));
    }
    if fleet.processes.iter().any(|process| process.role == name.text()) {
        let role = name.text();
        report.add(Code::UnknownProcess, name.place, format!("`{role}` is a role, not a process")).hint(
            format!("`role: {role}` is all of them, `any: {role}` is one, `process: {role}-1` the first"),
        );
        return None;
    }
    unknown(Code::UnknownProcess, "process", name.text(), name.place, known, report);
    None
}

fn role(name: &Placed<Name>, world: &World<'_>, report: &mut Report<'_>) -> Option<String> {
    let fleet = world.fleet?;
    let mut roles: Vec<&str> = fleet.processes.iter().map(|process| process.role.as_str()).collect();
    roles.dedup();
    if !roles.contains(&name.text()) {
        unknown(Code::UnknownRole, "role", name.text(), name.place, roles.into_iter(), report);
        return None;
    }
    Some(name.text().to_owned())
}

/// `any` where it is left out.
fn job_ref(given: Option<&Placed<JobRef>>, world: &World<'_>, report: &mut Report<'_>) -> Option<JobRef> {
    let Some(given) = given else {
        return Some(JobRef::Any);
    };
    if let (JobRef::Job(id), Some(jobs)) = (&given.value, world.jobs)
        && job_number(id.as_str()).is_none_or(|number| number > jobs)
    {
        report
            .add(Code::UnknownJob, given.place, format!("there is no `{id}`"))
            .hint(format!("the workload's jobs are `job-1` to `job-{jobs}`"));
        return None;
    }
    Some(given.value.clone())
}

pub(super) fn require_store(
    store: Store,
    place: Place,
    world: &World<'_>,
    report: &mut Report<'_>,
) -> Option<()> {
    let stack = world.stack?;
    let is_there = match store {
        Store::Redis => stack.redis.is_some(),
        Store::Postgres => stack.postgres.is_some(),
    };
    if !is_there {
        report
            .add(Code::MissingStore, place, format!("{store} is not in the stack"))
            .hint(format!("add `{store}: {{}}` to the stack"));
    }
    is_there.then_some(())
}

/// Every link of the run: the processes' and the producer's.
pub(super) fn all_links(fleet: &Fleet) -> Vec<(ProcessName, Endpoint)> {
    let of_producer = fleet.enqueue.ends().into_iter().map(|end| (ProcessName::new(PRODUCER), end));
    let of_processes = fleet
        .processes
        .iter()
        .flat_map(|process| process.links.iter().map(|end| (process.name.clone(), end.clone())));
    of_processes.chain(of_producer).collect()
}

/// The links that the selector may turn out to be.
pub(super) fn selected(selector: &LinkSelector, fleet: &Fleet) -> Vec<(ProcessName, Endpoint)> {
    let from: Option<Vec<ProcessName>> = selector.from.as_ref().map(|target| match target {
        Target::Process(name) if name.as_str() == PRODUCER => vec![name.clone()],
        target => candidates(target, fleet).cloned().collect(),
    });
    let is_from = |name: &ProcessName| from.as_ref().is_none_or(|from| from.contains(name));
    let is_to = |end: &Endpoint| selector.to.as_ref().is_none_or(|to| to == end);
    all_links(fleet).into_iter().filter(|(name, end)| is_from(name) && is_to(end)).collect()
}

fn links(network: &Placed<raw::Network>, world: &World<'_>, report: &mut Report<'_>) -> Option<LinkSelector> {
    let fleet = world.fleet?;
    let from = match &network.value.from {
        Field::Absent => None,
        Field::Bad => return None,
        Field::Given(Placed { value: raw::Target::Process(name), .. }) if name.text() == PRODUCER => {
            Some(Target::Process(ProcessName::new(PRODUCER)))
        }
        from => Some(target(from, world, report)?),
    };
    let to = match &network.value.to {
        Field::Absent => None,
        Field::Bad => return None,
        Field::Given(name) => Some(match store_named(name.text()) {
            Some(store) => {
                require_store(store, name.place, world, report)?;
                Endpoint::Store(store)
            }
            None => Endpoint::Process(end_process(name, fleet, report)?),
        }),
    };
    let selector = LinkSelector { from, to };
    if selected(&selector, fleet).is_empty() {
        let everything = LinkSelector { from: selector.from.clone(), to: None };
        let mut ends: Vec<String> =
            selected(&everything, fleet).into_iter().map(|(_, end)| end.to_string()).collect();
        ends.sort();
        ends.dedup();
        let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
        let place = network.value.to.place().or(network.value.from.place()).unwrap_or(network.place);
        report.add(Code::UnknownLink, place, "there is no such link").hint(if ends.is_empty() {
            "the process connects to nothing".to_owned()
        } else {
            format!("from there, links go to {}", list(&ends))
        });
        return None;
    }
    Some(selector)
}

fn end_process(name: &Placed<Name>, fleet: &Fleet, report: &mut Report<'_>) -> Option<ProcessName> {
    if fleet.processes.iter().any(|process| process.name.as_str() == name.text()) {
        return Some(ProcessName::new(name.text()));
    }
    let ends = fleet.processes.iter().map(|process| process.name.as_str()).chain(["redis", "postgres"]);
    unknown(Code::UnknownLink, "end of a link", name.text(), name.place, ends, report);
    None
}

fn toxic(raw: &raw::Toxic, context: &Context<'_, '_>) -> Option<Toxic> {
    let direction = |field: &Field<Direction>| field.value().copied().unwrap_or(Direction::Both);
    Some(match raw {
        raw::Toxic::Latency(latency) => Toxic::Latency {
            latency: context.optional(&latency.value.latency)?,
            jitter: context.span(&latency.value.jitter, Span::ZERO),
            direction: direction(&latency.value.direction),
        },
        raw::Toxic::Timeout(_) => Toxic::Timeout,
        raw::Toxic::ResetPeer(_) => Toxic::ResetPeer,
        raw::Toxic::Bandwidth(bandwidth) => {
            let model = bandwidth.value.rate.value()?.0;
            // As much passes in a tenth of the time.
            let wall = (model as f64 / context.scale.as_f64()).round() as u64;
            Toxic::Bandwidth {
                bytes_per_second: wall.max(1),
                direction: direction(&bandwidth.value.direction),
            }
        }
        raw::Toxic::Partition(partition) => {
            Toxic::Partition { direction: direction(&partition.value.direction) }
        }
        raw::Toxic::Refuse(_) => Toxic::Refuse,
        raw::Toxic::SlowClose(close) => Toxic::SlowClose { delay: context.optional(&close.value.delay)? },
        raw::Toxic::Slicer(slicer) => {
            let average_size = slicer.value.average_size.value()?.0;
            let variation = slicer.value.size_variation.value().map_or(0, |Whole(bytes)| *bytes);
            Toxic::Slicer {
                average_size,
                // A portion has at least one byte.
                size_variation: variation.min(average_size - 1),
                delay: context.span(&slicer.value.delay, Span::ZERO),
                direction: direction(&slicer.value.direction),
            }
        }
        raw::Toxic::LimitData(limit) => Toxic::LimitData {
            bytes: limit.value.bytes.value()?.0,
            direction: direction(&limit.value.direction),
        },
    })
}

fn trigger(raw: &raw::When, world: &World<'_>, context: &mut Context<'_, '_>) -> Option<Trigger> {
    let nth = |field: &Field<Whole<1, 100_000>>| field.value().map_or(1, |Whole(n)| *n as u32);
    Some(match raw {
        raw::When::At(at) => Trigger::At(context.wall(at.value)),
        raw::When::Within(pair) => Trigger::Within {
            min: context.scale.to_wall(pair.value.0),
            max: context.scale.to_wall(pair.value.1),
        },
        raw::When::StepDone(done) => {
            let job = job_ref(done.value.job.given(), world, context.report);
            let step = done.value.step.given()?;
            if let Some(steps) = world.steps.filter(|steps| step.value.0 > u64::from(*steps)) {
                context
                    .report
                    .add(Code::UnknownStep, step.place, format!("there is no step {}", step.value.0))
                    .hint(format!("the workload's jobs have {steps} steps, from 1"));
                return None;
            }
            Trigger::StepDone {
                job: job?,
                step: step.value.0 as u32,
                nth: nth(&done.value.nth),
                after: context.span(&done.value.after, Span::ZERO),
            }
        }
        raw::When::Claimed(claimed) => Trigger::Claimed {
            job: job_ref(claimed.value.job.given(), world, context.report)?,
            nth: nth(&claimed.value.nth),
            after: context.span(&claimed.value.after, Span::ZERO),
        },
        raw::When::Unanswered(missing) => {
            let watch = missing.value.watch.given()?;
            if !world.watches.contains(&watch.text()) {
                let known = world.watches.iter().copied();
                unknown(Code::UnknownWatch, "watch", watch.text(), watch.place, known, context.report);
            }
            Trigger::Unanswered {
                watch: watch.text().to_owned(),
                times: missing.value.times.value().map_or(3, |Whole(n)| *n as u32),
                after: context.span(&missing.value.after, Span::ZERO),
            }
        }
        raw::When::Wire(it) => Trigger::Wire(wire::wire(it, world, context.report)?),
        raw::When::Beat(beat) => Trigger::Beat {
            process: match beat.value.process.given() {
                Some(name) => Some(process(name, world, context.report)?),
                None => None,
            },
            from: context.span(&beat.value.from, Span::ZERO),
            after: context.span(&beat.value.after, Span::ZERO),
        },
    })
}
