//! The warnings of the scenarios that a run starts: the same one in many files is told once.

use crate::scenario::{Code, Diagnostic};

/// So many different warnings are shown.
const SHOWN_MAX: usize = 12;
/// So many places of one warning are shown.
const PLACES_MAX: usize = 3;

/// A line for each warning that is not the same as one before, with where it is and its page.
#[must_use]
pub fn lines(warnings: &[Diagnostic]) -> Vec<String> {
    let mut kinds: Vec<(Code, &str, Vec<&Diagnostic>)> = Vec::new();
    for warning in warnings {
        match kinds.iter_mut().find(|(code, text, _)| *code == warning.code && *text == warning.message) {
            Some((_, _, places)) => places.push(warning),
            None => kinds.push((warning.code, &warning.message, vec![warning])),
        }
    }
    let left_out = kinds.len().saturating_sub(SHOWN_MAX);
    let mut lines: Vec<String> = kinds.iter().take(SHOWN_MAX).map(|kind| line(kind.1, &kind.2)).collect();
    if left_out > 0 {
        lines.push(format!("{left_out} more kinds of warnings: `syncope check` shows all"));
    }
    lines
}

fn line(message: &str, places: &[&Diagnostic]) -> String {
    let shown: Vec<String> = places.iter().take(PLACES_MAX).map(|place| at(place)).collect();
    let more = match places.len().saturating_sub(PLACES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let page = places.first().map_or_else(String::new, |first| first.code.page());
    format!("{message} ({page}; {}{more})", shown.join(", "))
}

fn at(warning: &Diagnostic) -> String {
    format!("{}:{}:{}", warning.path().display(), warning.line, warning.column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Place, Source};

    fn warnings(count: usize, message: impl Fn(usize) -> String) -> Vec<Diagnostic> {
        (1..=count)
            .map(|number| {
                let source = Source::new(format!("{number}.yaml"), "a: b\n");
                Diagnostic::new(&source, Code::NoBeatMayBeLost, Place::new(3, 4), message(number))
            })
            .collect()
    }

    #[test]
    fn the_same_warning_of_many_files_is_one_line() {
        let page = "docs/errors/lint-no-beat-may-be-lost.md";
        assert_eq!(
            lines(&warnings(5, |_| "not one".into())),
            [format!("not one ({page}; 1.yaml:1:4, 2.yaml:1:4, 3.yaml:1:4 and 2 more)")]
        );
        assert_eq!(
            lines(&warnings(2, |number| format!("no {number}"))),
            [format!("no 1 ({page}; 1.yaml:1:4)"), format!("no 2 ({page}; 2.yaml:1:4)")]
        );
        assert_eq!(lines(&[]), [""; 0]);
    }

    #[test]
    fn many_warnings_stay_readable() {
        let lines = lines(&warnings(40, |number| format!("no {number}")));
        assert_eq!(lines.len(), SHOWN_MAX + 1);
        assert_eq!(lines[SHOWN_MAX], "28 more kinds of warnings: `syncope check` shows all");
    }
}
