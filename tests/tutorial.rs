//! `docs/tutorial.md`, followed word for word in an empty directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A fenced block: what stands behind its backquotes, and its lines.
struct Block<'p> {
    info: &'p str,
    text: &'p str,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, from)) = rest.split_once("\n```") {
        let (info, body) = from.split_once('\n').expect("a block has lines");
        let (text, after) = body.split_once("```").expect("a block ends");
        found.push(Block { info, text });
        rest = after;
    }
    found
}

/// Writes the file that the block is; `instead-of:` keeps what the file has before that text.
fn write(block: &Block<'_>, name: &str, folder: &Path) {
    let path = folder.join(name);
    let kept = match block.info.split_once(" instead-of:") {
        Some((_, from)) => {
            let old = fs::read_to_string(&path).expect("the file is there");
            let (kept, _) = old.split_once(from).expect("it has the text");
            kept.to_owned()
        }
        None => String::new(),
    };
    fs::write(path, kept + block.text).expect("the file can be written");
}

/// Whether `line` is as shown: an ellipsis stands for anything.
fn is_shown(line: &str, shown: &str) -> bool {
    let mut rest = line;
    for (place, part) in shown.split('…').enumerate() {
        match rest.find(part) {
            Some(at) if place > 0 || at == 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.trim_end().is_empty() || shown.ends_with('…')
}

/// Each line shown is printed, in their order; there may be others between them.
#[track_caller]
fn assert_shows(command: &str, printed: &str, shown: &[&str]) {
    let mut lines = printed.lines();
    for shown in shown {
        assert!(
            lines.any(|line| is_shown(line, shown)),
            "`{command}` does not print\n{shown}\nbut\n{printed}"
        );
    }
}

#[test]
fn the_tutorial_can_be_followed_word_for_word() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tutorial.md")).expect("the page");
    let (folder, bin) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    // As `syncope` in PATH; a stall of this host says nothing of the page.
    let syncope = env!("CARGO_BIN_EXE_syncope");
    let script = format!(
        "#!/bin/sh\ncase $1 in run) exec {syncope} \"$@\" --host-retries 4 2>/dev/null ;; esac\nexec {syncope} \"$@\"\n"
    );
    let program = bin.path().join("syncope");
    fs::write(&program, script).expect("the program can be written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap_or_default());

    let mut commands = 0;
    for block in blocks(&page) {
        let mut words = block.info.split(' ');
        match (words.next(), words.next()) {
            (Some("python" | "yaml"), Some(name)) => write(&block, name, folder.path()),
            (Some("console"), None) => {
                for part in block.text.split("$ ").filter(|part| !part.is_empty()) {
                    let (command, shown) = part.split_once('\n').unwrap_or((part, ""));
                    let output = Command::new("sh")
                        .args(["-c", command])
                        .current_dir(folder.path())
                        .env("PATH", &path)
                        .env("NO_COLOR", "1")
                        .stdin(Stdio::null())
                        .output()
                        .expect("a shell");
                    let printed = [&output.stdout[..], &output.stderr[..]].concat();
                    let shown: Vec<&str> = shown.lines().collect();
                    assert_shows(command, &String::from_utf8_lossy(&printed), &shown);
                    commands += 1;
                }
            }
            _ => panic!("a block that nothing follows: {}", block.info),
        }
    }
    assert!(commands >= 10, "{commands}");
}
