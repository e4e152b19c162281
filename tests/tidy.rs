//! The house rules, one test each; the message names the place and what to do instead.

use std::fs;
use std::path::{Path, PathBuf};

/// Which top-level modules a module may import from. `cli` and `main` may import all.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("names", &[]),
    ("dist", &["time"]),
    ("protocol", &["time", "names", "dist"]),
    ("fault", &["time", "names", "dist", "protocol"]),
    ("history", &["time", "names", "dist", "protocol", "fault"]),
    ("timing", &["time", "names", "dist", "protocol", "fault"]),
    ("backend", &["time", "names", "dist", "protocol", "fault", "history"]),
    ("scenario", &["time", "names", "dist", "protocol", "fault", "timing"]),
    (
        "tune",
        &["time", "names", "dist", "protocol", "fault", "history", "timing", "scenario", "check", "sim"],
    ),
    ("proxy", &["time", "names", "fault", "history"]),
    ("check", &["time", "names", "dist", "protocol", "fault", "history", "timing", "scenario"]),
    (
        "live",
        &["time", "names", "dist", "protocol", "fault", "history", "timing", "scenario", "backend", "proxy"],
    ),
    ("sim", &["time", "names", "dist", "protocol", "fault", "history", "timing", "scenario", "backend"]),
    (
        "report",
        &["time", "names", "dist", "protocol", "fault", "history", "timing", "scenario", "check", "tune"],
    ),
    (
        "run",
        &[
            "time", "names", "dist", "protocol", "fault", "history", "timing", "scenario", "backend",
            "check", "sim",
        ],
    ),
];

/// Modules without I/O, clock, random source or hash order. `history/log.rs` is the log, not the type.
const PURE: &[&str] = &[
    "time",
    "names",
    "dist",
    "protocol",
    "fault",
    "timing",
    "check",
    "backend",
    "history/mod.rs",
    "sim/agenda",
    "sim/prometheus",
];

struct Source {
    path: PathBuf,
    /// Relative to `src`.
    name: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// Lines without comments and without what follows `#[cfg(test)]`, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 10, "the sources were found");
    found
}

fn collect(root: &Path, folder: &Path, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(root, &path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("below src").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source is text");
            into.push(Source { path, name, text });
        }
    }
}

fn assert_none(breaches: &[String], advice: &str) {
    assert!(breaches.is_empty(), "{advice}\n{}", breaches.join("\n"));
}

#[test]
fn modules_import_only_downwards() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| *module == source.module()) else {
            continue;
        };
        for (line, text) in source.code() {
            for part in text.split("crate::").skip(1) {
                let imported: String =
                    part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let known = MAY_IMPORT.iter().any(|(module, _)| *module == imported) || imported == "cli";
                if known && imported != source.module() && !allowed.contains(&imported.as_str()) {
                    breaches.push(format!("{}:{line}: imports crate::{imported}", source.path.display()));
                }
            }
        }
    }
    assert_none(&breaches, "the dependency direction stands in ARCHITECTURE.md: move the shared type down");
}

#[test]
fn every_module_has_a_place_in_the_dependency_order() {
    let unplaced: Vec<String> = sources()
        .iter()
        .map(|source| source.module().to_owned())
        .filter(|module| !["lib", "main", "bin", "cli"].contains(&module.as_str()))
        .filter(|module| !MAY_IMPORT.iter().any(|(known, _)| known == module))
        .collect();
    assert_none(&unplaced, "add the module to MAY_IMPORT and to ARCHITECTURE.md");
}

#[test]
fn pure_modules_do_no_io_and_own_no_clock() {
    const FORBIDDEN: &[&str] = &[
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "Instant::now",
        "SystemTime",
        "tokio::",
        "rustix::",
        "libc::",
        "HashMap",
        "HashSet",
        "println!",
        "eprintln!",
    ];
    let mut breaches = Vec::new();
    for source in sources() {
        if !PURE.iter().any(|pure| source.name.starts_with(pure)) || source.name.contains("testing") {
            continue;
        }
        for (line, text) in source.code() {
            for forbidden in FORBIDDEN.iter().filter(|forbidden| text.contains(**forbidden)) {
                breaches.push(format!("{}:{line}: {forbidden}", source.path.display()));
            }
        }
    }
    assert_none(&breaches, "these modules are pure: take the fact as a parameter instead");
}

#[test]
fn only_cli_and_the_console_write_to_the_terminal() {
    let mut breaches = Vec::new();
    for source in sources() {
        // A fleet process speaks through its standard streams; that is its contract.
        let may = ["cli", "bin", "main"].contains(&source.module())
            || source.name == "report/console.rs"
            || source.name.starts_with("live/fleet");
        for (line, text) in source.code() {
            if !may && ["println!", "print!(", "eprint", "dbg!("].iter().any(|m| text.contains(m)) {
                breaches.push(format!("{}:{line}: {}", source.path.display(), text.trim()));
            }
        }
    }
    assert_none(&breaches, "return the text, or send an event, and let cli print it");
}

#[test]
fn a_file_has_at_most_five_hundred_lines() {
    let breaches: Vec<String> = sources()
        .iter()
        .filter(|source| source.text.lines().count() > 500)
        .map(|source| format!("{}: {} lines", source.path.display(), source.text.lines().count()))
        .collect();
    assert_none(&breaches, "look for the second thing in the file, and give it a file of its own");
}

#[test]
fn nothing_is_left_for_later() {
    const MARKS: &[&str] = &["todo!(", "unimplemented!(", "TODO", "FIXME", "#[ignore"];
    let mut breaches = Vec::new();
    for source in sources() {
        for (line, text) in source.text.lines().enumerate() {
            if MARKS.iter().any(|mark| text.contains(mark)) {
                breaches.push(format!("{}:{}: {}", source.path.display(), line + 1, text.trim()));
            }
        }
    }
    assert_none(&breaches, "build it, or leave it out and say so to the user with exit code 4");
}

#[test]
fn run_and_check_know_no_fleet_by_name() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| ["run", "check"].contains(&source.module())) {
        for (line, text) in source.code() {
            const NAMES: [&str; 7] = [
                "redis-heartbeat",
                "redis-queue",
                "postgres-heartbeat",
                "postgres-jobs",
                "worker-pool",
                "FleetRole",
                "catalogue",
            ];
            if NAMES.iter().any(|n| text.contains(n)) {
                breaches.push(format!("{}:{line}: {}", source.path.display(), text.trim()));
            }
        }
    }
    assert_none(&breaches, "describe it in scenario::Fleet, so that a foreign fleet can say the same");
}
