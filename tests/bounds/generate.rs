//! Random scenarios of the reference systems.

use syncope::dist::Random;

use crate::draft::{Draft, Injected, System};

/// The `number`-th scenario of a series, and the seed that it is run with.
pub fn draft(series: u64, number: u64) -> (Draft, u64) {
    let mut random =
        Random::stream(series.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number), "drafts");
    let dice = &mut random;
    let system = one_of(dice, &System::ALL);
    let mut draft = match system {
        System::Heartbeat => heartbeat(dice),
        System::Queue => queue(dice),
        System::Pool => pool(dice),
        System::Swept | System::Rescued => table(dice, system),
    };
    let horizon = draft.jobs * draft.arrival_ms + 2 * draft.steps * draft.step_ms.1;
    for _ in 0..one_of(dice, &[0, 1, 1, 1, 2, 2, 3, 4]) {
        let fault = fault(dice, &draft, horizon);
        draft.add(fault);
    }
    (draft, random.bits() >> 1)
}

fn heartbeat(dice: &mut Random) -> Draft {
    let interval = between(dice, 500, 8_000);
    let per_mille =
        |dice: &mut Random, of: u64, least, most| (of * between(dice, least, most) / 1_000).max(1);
    // One in eight is set so that mistakes are certain.
    let least = if dice.below(8) == 0 { 700 } else { 1_150 };
    let ttl = per_mille(dice, interval, least, 4_500);
    let threshold = per_mille(dice, interval, least, 4_500);
    let mut settings = vec![
        ("interval", ms(interval)),
        ("ttl", ms(ttl)),
        ("threshold", ms(threshold)),
        ("retries", between(dice, 0, 3).to_string()),
        ("retry_backoff", ms(between(dice, 0, 1_500))),
        ("ready_wait", ms(between(dice, 100, 4_000))),
        ("lock_ttl", ms(between(dice, 3_000, 20_000))),
        ("lock_interval", ms(between(dice, 500, 2_500))),
    ];
    settings.extend(queue_settings(dice));
    let workers = one_of(dice, &[1, 1, 1, 2, 3]);
    work(dice, System::Heartbeat, workers, settings)
}

fn queue(dice: &mut Random) -> Draft {
    let settings = queue_settings(dice);
    let workers = between(dice, 1, 4);
    work(dice, System::Queue, workers, settings)
}

fn pool(dice: &mut Random) -> Draft {
    let mut settings = queue_settings(dice);
    settings.push(("worker_count", between(dice, 1, 4).to_string()));
    settings.push(("health_interval", ms(between(dice, 500, 10_000))));
    settings.push(("worker_restart", ms(between(dice, 100, 3_000))));
    let workers = between(dice, 1, 3);
    work(dice, System::Pool, workers, settings)
}

fn table(dice: &mut Random, system: System) -> Draft {
    let interval = between(dice, 500, 8_000);
    // One in eight is set so that mistakes are certain.
    let least = if dice.below(8) == 0 { 700 } else { 1_150 };
    let rule = one_of(dice, &["fixed", "exponential"]);
    let settings = vec![
        ("interval", ms(interval)),
        ("threshold", ms(interval * between(dice, least, 4_500) / 1_000)),
        ("check_interval", ms(between(dice, 500, 15_000))),
        ("patience", ms(between(dice, 500, 10_000))),
        ("fencing", one_of(dice, &["true", "false"]).to_owned()),
        ("attempts", between(dice, 1, 5).to_string()),
        ("backoff", format!("{{{rule}: {}ms}}", between(dice, 100, 2_000))),
        ("concurrency", between(dice, 1, 3).to_string()),
        ("claim_poll", ms(between(dice, 50, 1_500))),
    ];
    let workers = between(dice, 1, 4);
    work(dice, system, workers, settings)
}

fn queue_settings(dice: &mut Random) -> Vec<(&'static str, String)> {
    let lock = between(dice, 1_000, 15_000);
    let stalled = between(dice, 500, 15_000);
    let backoff = between(dice, 100, 2_000);
    let rule = one_of(dice, &["fixed", "exponential"]);
    vec![
        ("lock_duration", ms(lock)),
        ("lock_renew", ms((lock * between(dice, 150, 900) / 1_000).max(100))),
        ("stalled_interval", ms(stalled)),
        ("max_stalled_count", between(dice, 1, 4).to_string()),
        ("attempts", between(dice, 1, 5).to_string()),
        ("backoff", format!("{{{rule}: {backoff}ms}}")),
        ("concurrency", between(dice, 1, 3).to_string()),
        ("claim_poll", ms(between(dice, 50, 1_500))),
    ]
}

fn work(dice: &mut Random, system: System, workers: u64, settings: Vec<(&'static str, String)>) -> Draft {
    let least = between(dice, 20, 1_000);
    Draft {
        system,
        workers,
        settings,
        durability: one_of(dice, &["aof", "aof", "aof", "rdb", "none"]),
        jobs: between(dice, 1, 16),
        arrival_ms: between(dice, 100, 2_500),
        delay_ms: if dice.below(4) == 0 { between(dice, 0, 3_000) } else { 0 },
        steps: between(dice, 1, 8),
        step_ms: (least, least + between(dice, 0, 1_500)),
        faults: Vec::new(),
    }
}

fn fault(dice: &mut Random, draft: &Draft, horizon: u64) -> Injected {
    let when = when(dice, draft, horizon);
    let (kind, yaml) = match dice.below(14) {
        0..4 => kill(dice, draft),
        4..6 => pause(dice, draft),
        6..8 => outage(dice, draft),
        8..10 => toxic(dice, draft),
        10 => clock(dice, draft),
        11 => stop(dice, draft),
        _ => of_the_system(dice, draft),
    };
    Injected { kind, yaml, when }
}

fn when(dice: &mut Random, draft: &Draft, horizon: u64) -> String {
    let after = between(dice, 0, 4_000);
    match dice.below(8) {
        0..3 => format!("{{at: {}ms}}", between(dice, 0, horizon)),
        3..5 => {
            let from = between(dice, 0, horizon);
            format!("{{within: [{from}ms, {}ms]}}", from + after)
        }
        5 => format!(
            "{{claimed: {{job: any, nth: {}, after: {}ms}}}}",
            between(dice, 1, draft.jobs),
            between(dice, 0, draft.step_ms.1)
        ),
        6 => format!(
            "{{step_done: {{job: any, step: {}, nth: {}}}}}",
            between(dice, 1, draft.steps),
            between(dice, 1, draft.jobs.min(4))
        ),
        _ => format!("{{beat: {{from: {}ms, after: {after}ms}}}}", between(dice, 0, horizon / 2)),
    }
}

fn worker(dice: &mut Random, draft: &Draft) -> String {
    match dice.below(4) {
        0 => "{holder_of: any}".to_owned(),
        1 => format!("{{any: {}}}", draft.system.role()),
        2 => format!("{{role: {}}}", draft.system.role()),
        _ => format!("{{process: {}-{}}}", draft.system.role(), between(dice, 1, draft.workers)),
    }
}

/// A worker, or the one who says who lives, where that is a process of its own.
fn worker_or_judge(dice: &mut Random, draft: &Draft) -> (String, &'static str) {
    match draft.system {
        System::Heartbeat if dice.below(3) == 0 => ("{process: api}".to_owned(), "api"),
        System::Swept if dice.below(3) == 0 => ("{process: sweeper}".to_owned(), "sweeper"),
        _ => (worker(dice, draft), draft.system.role()),
    }
}

/// What only this system has, else a kill.
fn of_the_system(dice: &mut Random, draft: &Draft) -> (String, String) {
    match draft.system {
        System::Pool => {
            let target = worker(dice, draft);
            ("panic".into(), format!("kill: {{target: {target}, signal: USR2}}"))
        }
        System::Swept => {
            let back = between(dice, 200, 40_000);
            let yaml =
                format!("kill: {{target: {{process: sweeper}}, signal: KILL, restart_after: {back}ms}}");
            ("kill sweeper".into(), yaml)
        }
        System::Heartbeat | System::Queue | System::Rescued => kill(dice, draft),
    }
}

fn kill(dice: &mut Random, draft: &Draft) -> (String, String) {
    let back = between(dice, 200, 40_000);
    if dice.below(5) == 0 {
        return (
            "kill of all".into(),
            format!("scale_to_zero: {{role: {}, for: {back}ms}}", draft.system.role()),
        );
    }
    let whom = worker(dice, draft);
    // At least one worker must be left to do the work.
    let one = draft.workers > 1 && draft.faults.is_empty() && !whom.contains("role");
    if one && dice.below(3) == 0 {
        return ("kill for good".into(), format!("kill: {{target: {whom}, signal: KILL}}"));
    }
    ("kill".into(), format!("kill: {{target: {whom}, signal: KILL, restart_after: {back}ms}}"))
}

fn stop(dice: &mut Random, draft: &Draft) -> (String, String) {
    let (grace, more) = (between(dice, 100, 20_000), between(dice, 100, 5_000));
    let (target, back) = (worker(dice, draft), grace + more);
    ("stop".into(), format!("stop: {{target: {target}, grace: {grace}ms, restart_after: {back}ms}}"))
}

fn pause(dice: &mut Random, draft: &Draft) -> (String, String) {
    let (target, whom) = worker_or_judge(dice, draft);
    if dice.below(5) == 0 {
        let (least, gap) = (between(dice, 50, 3_000), between(dice, 0, 2_000));
        let most = least + between(dice, 0, 5_000);
        let count = between(dice, 2, 5);
        let yaml = format!(
            "pauses: {{target: {target}, for: {{uniform: [{least}ms, {most}ms]}}, gap: {{constant: {gap}ms}}, \
             count: {count}}}"
        );
        return (format!("pauses {whom}"), yaml);
    }
    let lasting = length(dice);
    (format!("pause {whom}"), format!("pause: {{target: {target}, for: {lasting}ms}}"))
}

/// The beats' store more often than the other.
fn store(dice: &mut Random, draft: &Draft) -> &'static str {
    match draft.system.has_redis() {
        true => one_of(dice, &["redis", "redis", "postgres"]),
        false => "postgres",
    }
}

fn outage(dice: &mut Random, draft: &Draft) -> (String, String) {
    let store = store(dice, draft);
    let how = one_of(dice, &["kill", "stop", "pause", "refuse"]);
    let lasting = length(dice);
    (format!("outage {store} {how}"), format!("outage: {{store: {store}, how: {how}, for: {lasting}ms}}"))
}

fn toxic(dice: &mut Random, draft: &Draft) -> (String, String) {
    let (from, whom) = worker_or_judge(dice, draft);
    let to = store(dice, draft);
    let latency = between(dice, 1, 3_000);
    let jitter = latency * between(dice, 0, 1_000) / 1_000;
    let direction = one_of(dice, &["both", "upstream", "downstream"]);
    let (name, toxic) = match dice.below(8) {
        0 => ("timeout", "{timeout: {}}".to_owned()),
        1 => ("reset_peer", "{reset_peer: {}}".to_owned()),
        2 => ("refuse", "{refuse: {}}".to_owned()),
        3 => ("partition", format!("{{partition: {{direction: {direction}}}}}")),
        4 => {
            let (size, delay) = (between(dice, 16, 2_000), between(dice, 0, 60));
            (
                "slicer",
                format!("{{slicer: {{average_size: {size}, delay: {delay}ms, direction: {direction}}}}}"),
            )
        }
        5 => {
            let rate = between(dice, 100, 20_000);
            ("bandwidth", format!("{{bandwidth: {{rate: {rate}B/s, direction: {direction}}}}}"))
        }
        _ => (
            "latency",
            format!("{{latency: {{latency: {latency}ms, jitter: {jitter}ms, direction: {direction}}}}}"),
        ),
    };
    let lasting = length(dice);
    let yaml = format!("network: {{from: {from}, to: {to}, toxic: {toxic}, for: {lasting}ms}}");
    (format!("{name} {whom}"), yaml)
}

fn clock(dice: &mut Random, draft: &Draft) -> (String, String) {
    let (target, whom) = worker_or_judge(dice, draft);
    let lasting = length(dice);
    let sign = one_of(dice, &["+", "-"]);
    let by = between(dice, 1, 40_000);
    if dice.below(5) == 0 {
        let every = between(dice, 50, 10_000);
        let all = 2 * every * between(dice, 1, 4);
        let yaml =
            format!("clock_strobe: {{target: {target}, by: {sign}{by}ms, every: {every}ms, for: {all}ms}}");
        return (format!("clock strobe {whom}"), yaml);
    }
    if dice.below(2) == 0 {
        (
            format!("clock step {whom}"),
            format!("clock_step: {{target: {target}, by: {sign}{by}ms, for: {lasting}ms}}"),
        )
    } else {
        let ppm = between(dice, 1, 400_000);
        let sign = if sign == "-" { "-" } else { "" };
        (
            format!("clock drift {whom}"),
            format!("clock_drift: {{target: {target}, ppm: {sign}{ppm}, for: {lasting}ms}}"),
        )
    }
}

/// Short ones as often as long ones.
fn length(dice: &mut Random) -> u64 {
    let most = one_of(dice, &[500, 2_000, 8_000, 20_000, 50_000]);
    between(dice, 50, most)
}

fn between(dice: &mut Random, least: u64, most: u64) -> u64 {
    least + dice.below(most - least + 1)
}

fn one_of<T: Copy>(dice: &mut Random, of: &[T]) -> T {
    of[dice.below(of.len() as u64) as usize]
}

fn ms(ms: u64) -> String {
    format!("{ms}ms")
}
