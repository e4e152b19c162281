//! `docs/errors/`: a page for each code, and what it shows is what is printed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use syncope::scenario::{
    Code, Diagnostic, FileKind, Overrides, Severity, Source, catalogue, claims, load, question, recipe,
    render,
};
use syncope::timing;

use super::BASE;

/// The longest page, with its example and what that prints.
const LINES_MAX: usize = 50;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors"))
}

/// What stands between the fence of this language and its end.
fn block<'p>(page: &'p str, language: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("\n```{language}\n"))?;
    rest.split_once("```").map(|(block, _)| block)
}

fn diagnostics(yaml: &str) -> Vec<Diagnostic> {
    let source = Source::new("example.yaml", yaml);
    match FileKind::of(&source) {
        FileKind::Claims => {
            let known = ["queue-kill-9", "queue-baseline"];
            claims::read(&source, Some(&known)).err().unwrap_or_default()
        }
        FileKind::Question => question::read(&source).err().unwrap_or_default(),
        FileKind::Entry => catalogue::read(&source).err().unwrap_or_default(),
        FileKind::Rules | FileKind::Scenario { .. } => {
            load(&source, &Overrides::default()).map_or_else(|errors| errors, |loaded| loaded.warnings)
        }
    }
}

/// What `syncope model` prints of an entry of the catalogue that is good.
fn findings(yaml: &str, code: Code) -> Option<String> {
    let entry = catalogue::read(&Source::new("example.yaml", yaml)).ok()?;
    let pipeline = entry.pipeline().ok()?;
    let found = timing::lint(&pipeline);
    assert_eq!(found.iter().map(Code::of).collect::<Vec<_>>(), [code]);
    Some(format!(
        "{code}: {}\n    instead: {}\n    more: {}\n",
        found[0].message(),
        found[0].advice(),
        code.page()
    ))
}

/// What the page's example prints: all that it prints is of this code.
fn printed(code: Code, page: &str) -> String {
    let yaml = match (code, block(page, "yaml")) {
        (_, Some(yaml)) if code != Code::NotLocked => yaml.to_owned(),
        (Code::TooLarge, None) => format!("about: {}", "x".repeat(300 << 10)),
        (Code::TooManyErrors, None) => {
            let unknown: String = (0..200).map(|number| format!("  field-{number}: 1\n")).collect();
            BASE.replace("workload:\n", &format!("workload:\n{unknown}"))
        }
        (Code::Unreadable, None) => return unreadable(),
        (Code::NotLocked, _) => return not_locked(page),
        _ => panic!("{} has no example", code.page()),
    };
    let yaml = yaml.strip_suffix('\n').unwrap_or(&yaml);
    if let Some(findings) = findings(yaml, code).filter(|_| code.severity() == Severity::Warning) {
        return findings;
    }
    let mut found = diagnostics(yaml);
    if code == Code::TooManyErrors {
        found.retain(|diagnostic| diagnostic.code == code);
    }
    let codes: BTreeSet<Code> = found.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, BTreeSet::from([code]), "{}\n{}", code.page(), render(&found, false));
    render(&found, false)
}

fn unreadable() -> String {
    let empty = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_syncope"))
        .args(["check", "missing.yaml"])
        .current_dir(&empty)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("text")
}

/// The file that the recipe names stands on the page too.
fn not_locked(page: &str) -> String {
    let yaml = block(page, "yaml").expect("a scenario");
    let source = Source::new("example.yaml", yaml.strip_suffix('\n').unwrap_or(yaml));
    let scenario = load(&source, &Overrides::default()).expect("in itself it is good").scenario;
    let requirements = block(page, "requirements").expect("a requirements file");
    render(&recipe::check(&source, &scenario, |_| Ok(requirements.to_owned())), false)
}

/// Trailing blanks are no matter of a page.
fn trimmed(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    let expected: BTreeSet<String> = Code::ALL.iter().map(|code| code.page()).collect();
    let found: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("docs/errors can be read")
        .map(|entry| format!("docs/errors/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn each_page_shows_what_its_example_prints() {
    for code in Code::ALL {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(code.page());
        let page = std::fs::read_to_string(&path).expect("a page");
        assert!(page.starts_with(&format!("# {code}\n")), "{}: the title is the code", code.page());
        assert!(page.contains("\nWhat to change: "), "{}: what to change", code.page());
        assert!(page.lines().count() <= LINES_MAX, "{}: {} lines", code.page(), page.lines().count());
        let shown = block(&page, "text").unwrap_or_else(|| panic!("{}: no ```text", code.page()));
        let printed = trimmed(&printed(*code, &page));
        if std::env::var_os("SYNCOPE_BLESS").is_some() {
            let blessed = page.replace(&format!("```text\n{shown}```"), &format!("```text\n{printed}```"));
            std::fs::write(&path, blessed).expect("a page can be written");
        } else {
            assert_eq!(shown, printed, "{} is stale: run this test with SYNCOPE_BLESS=1", code.page());
        }
    }
}
