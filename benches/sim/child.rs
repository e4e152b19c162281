//! One measurement in a process of its own.

use std::process::Command;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::workload::Workload;
use crate::{Result, VARIANTS};

const ASK: &str = "--one";

/// One measurement, set-up included.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub events: u64,
    pub mistakes: u64,
    pub wall_s: f64,
    /// Of all threads.
    pub cpu_s: f64,
    /// The most memory the process ever had.
    pub peak_kib: u64,
}

impl Sample {
    pub fn per_s(&self) -> f64 {
        self.events as f64 / self.wall_s
    }

    pub fn per_cpu_s(&self) -> f64 {
        self.events as f64 / self.cpu_s
    }
}

pub fn measure(variant: &str, workload: &Workload) -> Result<Sample> {
    let Workload { workers, span_s, seeds, threads } = workload;
    let numbers = [*workers as u64, *span_s, u64::from(*seeds), u64::from(*threads)];
    let output = Command::new(std::env::current_exe()?)
        .args([ASK, variant])
        .args(numbers.map(|number| number.to_string()))
        .output()?;
    if !output.status.success() {
        return Err(format!("{variant}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let [events, mistakes, wall_s, cpu_s, peak_kib] = text.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("{variant} printed `{text}`").into());
    };
    Ok(Sample {
        events: events.parse()?,
        mistakes: mistakes.parse()?,
        wall_s: wall_s.parse()?,
        cpu_s: cpu_s.parse()?,
        peak_kib: peak_kib.parse()?,
    })
}

/// The arguments, if this process is to do one measurement.
pub fn asked() -> Option<Vec<String>> {
    let mut args = std::env::args().skip(1);
    (args.next()? == ASK).then(|| args.collect())
}

pub fn answer(asked: &[String]) -> Result<()> {
    let [name, workers, span_s, seeds, threads] = asked else {
        return Err("a measurement takes a variant and four numbers".into());
    };
    let workload = Workload {
        workers: workers.parse()?,
        span_s: span_s.parse()?,
        seeds: seeds.parse()?,
        threads: threads.parse()?,
    };
    let variant = VARIANTS.iter().find(|variant| variant.name == *name).ok_or("no such variant")?;
    let (start, cpu) = (Instant::now(), cpu_s());
    let counts = (variant.run)(&workload);
    let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), cpu_s() - cpu);
    println!("{} {} {wall_s} {cpu_s} {}", counts.events, counts.mistakes, peak_kib()?);
    Ok(())
}

fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel states no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
