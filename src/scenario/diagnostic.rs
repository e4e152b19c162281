//! What is wrong with a scenario file, and where: collected all at once, and rendered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, SourceOffset, SourceSpan,
};

/// A scenario file: its path, for messages and for relative paths in it, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: Arc<str>,
    rules: Option<Arc<RulesFile>>,
}

/// A file of alerting rules that a scenario names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesFile {
    pub path: PathBuf,
    /// Or why it could not be read.
    pub text: Result<String, String>,
}

/// A range of bytes of the source's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One finding. `line` and `column` count from 1, columns in characters.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub code: Code,
    pub message: String,
    /// What the underline says; empty: an underline alone.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
    pub place: Place,
    pub line: usize,
    pub column: usize,
    source: Source,
}

macro_rules! codes {
    ($($severity:ident { $($(#[$doc:meta])* $code:ident $text:literal,)* })*) => {
        /// The stable name of a kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($($(#[$doc])* $code,)*)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$($(Self::$code,)*)*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$code => $text,)*)*
                }
            }

            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $($(Self::$code => Severity::$severity,)*)*
                }
            }
        }
    };
}

codes! {
    Error {
        /// The file is not YAML.
        Syntax "scenario::syntax",
        /// The file cannot be read, or is not UTF-8.
        Unreadable "scenario::unreadable",
        /// Over 256 KiB, or too many nodes.
        TooLarge "scenario::too-large",
        TooDeep "scenario::too-deep",
        /// Aliases that expand without end or beyond all measure.
        AliasExpansion "scenario::alias-expansion",
        SeveralDocuments "scenario::several-documents",
        Empty "scenario::empty",
        Tag "scenario::tag",
        DuplicateKey "scenario::duplicate-key",
        UnknownField "scenario::unknown-field",
        MissingField "scenario::missing-field",
        WrongType "scenario::wrong-type",
        /// Not one of the values that are allowed here.
        UnknownValue "scenario::unknown-value",
        /// Exactly one of several keys is needed.
        OneOf "scenario::one-of",
        Duration "scenario::duration",
        NegativeDuration "scenario::negative-duration",
        DurationTooLong "scenario::duration-too-long",
        /// A duration that the time scale leaves too little of.
        DurationTooShort "scenario::duration-too-short",
        OutOfRange "scenario::out-of-range",
        /// The lower end lies above the upper one.
        EmptyRange "scenario::empty-range",
        Name "scenario::name",
        TimeScale "scenario::time-scale",
        TooLong "scenario::run-too-long",
        UnknownProcess "scenario::unknown-process",
        UnknownRole "scenario::unknown-role",
        UnknownJob "scenario::unknown-job",
        UnknownStep "scenario::unknown-step",
        UnknownLink "scenario::unknown-link",
        UnknownWatch "scenario::unknown-watch",
        /// The fault's or the system's store is not in the stack.
        MissingStore "scenario::missing-store",
        ForeignSetting "scenario::foreign-setting",
        /// Faults that cannot be healed one by one.
        Overlap "scenario::overlap",
        /// An expectation that the fleet cannot be judged by.
        Unjudgeable "scenario::unjudgeable",
        Template "scenario::template",
        /// Of a line of output: no regular expression, or not the groups that it needs.
        Pattern "scenario::pattern",
        /// Of a recipe: what is to be installed is not of one version.
        NotLocked "scenario::not-locked",
        /// A value of the catalogue, or a formula over its parameters.
        Formula "catalog::formula",
        /// A claim's scenario that nobody has.
        UnknownScenario "claims::unknown-scenario",
        TooManyErrors "scenario::too-many-errors",
    }
    Warning {
        ThresholdNeverDecides "lint::threshold-never-decides",
        MistakesCertain "lint::mistakes-certain",
        /// A buffer, or the rhythm's longest interval, over the expiry.
        LateBeatExpires "lint::late-beat-expires",
        NoBeatMayBeLost "lint::no-beat-may-be-lost",
        RenewalTooLate "lint::renewal-too-late",
        RetryCannotHelp "lint::retry-cannot-help",
        /// Of an alerting rule.
        AlertCannotFire "lint::alert-cannot-fire",
        /// Of a setting: the age compares two clocks.
        SkewAcrossClocks "lint::skew-across-clocks",
        /// No attempt of a job can be its last.
        AttemptsRunOut "lint::attempts-run-out",
        OutageOutlastsBackoff "lint::outage-outlasts-backoff",
        /// Of a fault: it moves a clock by more than the settings bear.
        SkewOverTolerance "lint::skew-over-tolerance",
    }
}

impl Code {
    /// The page that explains it, from the repository's root: `docs/errors/lint-mistakes-certain.md`.
    #[must_use]
    pub fn page(self) -> String {
        format!("docs/errors/{}.md", self.as_str().replace("::", "-"))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Source {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into(), rules: None }
    }

    /// With the file that it names ([`FileKind::Scenario`](super::FileKind)), which only the caller can read.
    #[must_use]
    pub fn with_rules(self, rules: RulesFile) -> Self {
        Self { rules: Some(Arc::new(rules)), ..self }
    }

    #[must_use]
    pub fn rules(&self) -> Option<&RulesFile> {
        self.rules.as_deref()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset, from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl Place {
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

impl Diagnostic {
    #[must_use]
    pub fn new(source: &Source, code: Code, place: Place, message: impl Into<String>) -> Self {
        let (line, column) = source.position(place.start);
        Self {
            code,
            message: message.into(),
            label: String::new(),
            hint: None,
            place,
            line,
            column,
            source: source.clone(),
        }
    }

    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }
}

/// `file:line:column: message`, for one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path().display(), self.line, self.column, self.message)
    }
}

/// Diagnostics of one file while it is read.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    source: &'a Source,
    found: Vec<Diagnostic>,
    /// What falls off the end, where a finding is not kept.
    dropped: Option<Diagnostic>,
}

/// More findings than this are of no use to a reader.
const FINDINGS_MAX: usize = 100;

impl<'a> Report<'a> {
    pub fn new(source: &'a Source) -> Self {
        Self { source, found: Vec::new(), dropped: None }
    }

    pub fn source(&self) -> &'a Source {
        self.source
    }

    pub fn add(&mut self, code: Code, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        let diagnostic = match self.found.len() {
            0..FINDINGS_MAX => Diagnostic::new(self.source, code, place, message),
            FINDINGS_MAX => Diagnostic::new(
                self.source,
                Code::TooManyErrors,
                place,
                format!("more than {FINDINGS_MAX} errors; the rest is not shown"),
            ),
            _ => {
                // Finding the line is what costs: a place at the start is free.
                let start = Place::default();
                return self.dropped.insert(Diagnostic::new(self.source, code, start, ""));
            }
        };
        self.found.push(diagnostic);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// What was found in another file, which this one names.
    pub fn adopt(&mut self, others: Vec<Diagnostic>) {
        self.found.extend(others);
    }

    /// No further finding will be shown: what only makes one readable can be left out.
    pub fn is_full(&self) -> bool {
        self.found.len() >= FINDINGS_MAX
    }

    /// The line of a place, from 1.
    pub fn line(&self, place: Place) -> usize {
        if self.is_full() { 0 } else { self.source.position(place.start).0 }
    }

    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// Sorted by place. A mistake that two parts of the scenario have met is said once.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| (diagnostic.code == Code::TooManyErrors, diagnostic.place));
        self.found.dedup_by(|later, first| {
            (later.code, later.place, &later.message) == (first.code, first.place, &first.message)
        });
        self.found
    }
}

/// The diagnostics with their snippets: in colour and Unicode for a terminal, else in plain ASCII.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
    let mut text = String::new();
    for diagnostic in diagnostics {
        let view = View::of(diagnostic);
        if handler.render_report(&mut text, &view).is_err() {
            text.push_str(&diagnostic.to_string());
        }
        text.push('\n');
    }
    text
}

/// A diagnostic as miette wants it.
#[derive(Debug)]
struct View<'a> {
    diagnostic: &'a Diagnostic,
    /// None where a snippet would not be readable: the place then stands in the message.
    snippet: Option<NamedSource<Arc<str>>>,
}

/// A line longer than this is not shown.
const SNIPPET_LINE_MAX: usize = 400;

impl<'a> View<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        let Place { start, end } = diagnostic.place;
        let text = diagnostic.source.text();
        let first = text[..start.min(text.len())].rfind('\n').map_or(0, |newline| newline + 1);
        let readable = start < text.len()
            && end <= text.len()
            && end - first <= SNIPPET_LINE_MAX
            && text[first..].lines().take(2).all(|line| line.len() <= SNIPPET_LINE_MAX)
            && text[..first].lines().next_back().is_none_or(|line| line.len() <= SNIPPET_LINE_MAX);
        let name = diagnostic.path().display().to_string();
        let snippet = readable.then(|| NamedSource::new(name, diagnostic.source.text.clone()));
        Self { diagnostic, snippet }
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.snippet {
            Some(_) => f.write_str(&self.diagnostic.message),
            None => self.diagnostic.fmt(f),
        }
    }
}

impl std::error::Error for View<'_> {}

impl miette::Diagnostic for View<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    /// Shown in brackets behind the code: where to read on.
    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code.page()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.code.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.snippet.as_ref().map(|snippet| snippet as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Place { start, end } = self.diagnostic.place;
        let span = SourceSpan::new(SourceOffset::from(start), end.saturating_sub(start).max(1));
        let label = (!self.diagnostic.label.is_empty()).then(|| self.diagnostic.label.clone());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, span))))
    }
}
