//! `syncope catalog`: the known job systems, and how long after a crash a job runs again at the latest.

mod row;

use std::io::Write as _;

use crate::cli::exit;
use crate::scenario::catalogue;
use crate::scenario::render;

use row::Row;

/// The known job systems and their worst cases.
///
/// Each system's parameters with their origins are in catalog/, and in --json. The worst case, from a
/// crash to the job being claimable again, is computed from them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As JSON, with all parameters, origins and notes.
    #[arg(long)]
    json: bool,
}

/// The exit code.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let rows = match rows() {
        Ok(rows) => rows,
        Err(message) => {
            anstream::eprintln!("error: {message}");
            return exit::USAGE;
        }
    };
    let text = if args.json { json(&rows) } else { table(&rows) };
    // A reader that went away has seen enough.
    let _ = anstream::stdout().write_all(text.as_bytes());
    exit::PASS
}

/// Every entry that the program carries, by name.
///
/// # Errors
/// What is wrong with an entry, rendered. The tests let no such program out.
fn rows() -> Result<Vec<Row>, String> {
    catalogue::NAMES
        .iter()
        .filter_map(|name| catalogue::builtin(name))
        .map(|source| {
            let entry = catalogue::read(&source)?;
            let pipeline = entry.pipeline()?;
            Ok(Row::new(&entry, &pipeline))
        })
        .collect::<Result<_, _>>()
        .map_err(|diagnostics: Vec<_>| render(&diagnostics, false))
}

fn json(rows: &[Row]) -> String {
    let mut text = serde_json::to_string_pretty(rows).unwrap_or_default();
    text.push('\n');
    text
}

const HEADERS: [&str; 8] = ["system", "version", "beat", "expiry", "sweep", "worst case", "retry", "clock"];

/// What a terminal shows without wrapping.
const COLUMNS: usize = 120;

/// Between two columns.
const GAP: &str = "  ";

/// One line a system, then a legend, then the notes.
fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 8]> = rows.iter().map(cells).collect();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        let longest = cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        longest.max(HEADERS[column].len())
    });
    let mut text = line(&HEADERS.map(str::to_owned), &widths);
    text.extend(cells.iter().map(|cells| line(cells, &widths)));
    text.push_str(LEGEND);
    for row in rows {
        let Some(note) = &row.note else { continue };
        let specified = row.specified_ms.map(|ms| format!("The specification says {}s. ", ms / 1000.0));
        let specified = specified.filter(|_| row.differs).unwrap_or_default();
        let lines = wrap(&format!("{specified}{note}"), COLUMNS - widths[0] - GAP.len());
        for (index, wrapped) in lines.iter().enumerate() {
            let name = if index == 0 { row.name.as_str() } else { "" };
            text.push_str(&format!("{name:<width$}{GAP}{wrapped}\n", width = widths[0]));
        }
    }
    text
}

const LEGEND: &str = "
Worst case: from a crash to the job being claimable again; in brackets, if whoever sweeps dies with it.
Sweep: its period; `poll`, whoever asks for work looks; `idle`, only between jobs; `leader`, only the leader;
`marks`, one sweep marks and the next takes. Retry: `↑`, doubling; `stall`, stalls are counted apart.
Clock: `store`, a time to live; `client`, workers on both sides; `mixed`, two kinds. Origins: --json.

";

fn cells(row: &Row) -> [String; 8] {
    [
        row.name.clone(),
        row.version.clone().unwrap_or_else(|| "-".to_owned()),
        row.beat.clone(),
        row.expiry.clone(),
        row.checker.clone(),
        row.worst_case.text(),
        row.retry.clone(),
        row.clock.clone(),
    ]
}

fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
    let mut text = padded.join(GAP).trim_end().to_owned();
    text.push('\n');
    text
}

/// Lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
