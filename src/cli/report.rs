//! `syncope report`: judges a stored run again from its histories, and rebuilds its reports.

use std::path::{Path, PathBuf};

use crate::check::{self, Judged};
use crate::cli::{claims, exit, run_file, simulate, stored};
use crate::history::log::History;
use crate::report::console::{Console, Mode};
use crate::report::{self, RunInfo};
use crate::scenario::render;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's folder, as in reports/latest.
    #[arg(default_value = "reports/latest")]
    directory: PathBuf,
}

pub fn run(args: &Args) -> u8 {
    match rebuild(&args.directory) {
        Ok(code) => code,
        Err(message) => {
            anstream::eprintln!("error: {message}");
            exit::USAGE
        }
    }
}

fn rebuild(directory: &Path) -> Result<u8, String> {
    let info = run_file::read(directory)
        .map_err(|error| format!("{} is no run's folder: {error}", directory.display()))?;
    let (judged, histories): (Vec<Judged>, Vec<History>) = info
        .folders
        .iter()
        .map(|folder| judge_again(&directory.join(folder)))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .unzip();
    let mut judged = judged;
    let simulated = info
        .folders
        .iter()
        .zip(&judged)
        .filter_map(|(folder, judged)| {
            let figures = simulate::load(&directory.join(folder)).transpose()?;
            Some(figures.map(|figures| (judged.path.clone(), figures)))
        })
        .collect::<Result<_, _>>()
        .map_err(|error| format!("failed to read the simulated figures: {error}"))?;
    simulate::attach(&mut judged, &simulated);
    let info = RunInfo::from(info);
    let mut summary = report::merge(&info, judged);
    let claims = claims::load(directory).map_err(|diagnostics| render(&diagnostics, false))?;
    if let Some(claims) = claims {
        summary = summary.with_claims(&claims);
    }
    let paths = report::write_reports(directory, &summary, &histories)
        .map_err(|error| format!("failed to write the reports: {error}"))?;
    Console::new(Mode::detect()).finish(&summary, &paths);
    Ok(if info.interrupted { exit::INTERRUPTED } else { exit::of(summary.verdict) })
}

fn judge_again(folder: &Path) -> Result<(Judged, History), String> {
    let (scenario, history) = stored::read(folder)?;
    let judged = check::judge(&scenario, &history);
    Ok((judged, history))
}
