//! The file from which libfaketime takes a process's clock, and the arithmetic behind it.
//!
//! libfaketime (0.9.10) reads the first line at each call. With `+O xR` it answers
//! `S + O + (now - S) · R`, where `S` is when it was loaded: a rate is counted from the process's
//! start, not from the change. So that the clock has no jump when a drift begins, `O` is the clock's
//! offset extrapolated back to `S`. A rate, once read, stays until another is read: after a drift
//! `x1` must be written. (Without `FAKETIME_XRESET`, which moves `S`.)

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::time::{Instant, SignedSpan};

/// The file has always this length, so that one write replaces everything and no reader sees half.
const LENGTH: usize = 64;
const MILLION: i128 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A process's clock, as an offset from the host's that grows by `ppm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Course {
    /// The offset at `since`.
    pub offset: SignedSpan,
    pub since: Instant,
    /// Parts per million that the clock gains; above -1,000,000.
    pub ppm: i64,
}

impl Course {
    /// The offset from the host's clock at `at`, which may be before `since`.
    #[must_use]
    pub fn offset_at(&self, at: Instant) -> SignedSpan {
        let elapsed = i128::from(at.as_nanos()) - i128::from(self.since.as_nanos());
        let offset = i128::from(self.offset.0) + elapsed * i128::from(self.ppm) / MILLION;
        SignedSpan(i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// What libfaketime must read. `loaded` is when it was loaded into the process.
#[must_use]
pub fn content(course: &Course, rated: bool, loaded: Instant) -> String {
    let offset = course.offset_at(loaded);
    let nanos = offset.0.unsigned_abs();
    let sign = if offset.0 < 0 { '-' } else { '+' };
    let mut text = format!("{sign}{}.{:09}", nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    if rated {
        let rate = MILLION + i128::from(course.ppm);
        text.push_str(&format!(" x{}.{:06}", rate / MILLION, rate % MILLION));
    }
    // Only the first line counts; the rest fills the file up.
    text.push_str("\n#");
    while text.len() < LENGTH - 1 {
        text.push('.');
    }
    text.push('\n');
    text
}

/// Replaces the file's content in one write. The file stays the same one: it is mounted into a container.
///
/// # Errors
/// If the file does not exist or cannot be written.
pub fn write(path: &Path, content: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(content.as_bytes(), 0)?;
    let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn first_line(offset_seconds: f64, since: u64, ppm: i64, rated: bool, loaded: u64) -> String {
        let offset = SignedSpan((offset_seconds * SECOND as f64) as i64);
        let course = Course { offset, since: Instant::from_nanos(since * SECOND), ppm };
        let text = content(&course, rated, Instant::from_nanos(loaded * SECOND));
        assert_eq!(text.len(), LENGTH);
        text.lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_step_is_a_plain_offset() {
        assert_eq!(first_line(30.0, 100, 0, false, 90), "+30.000000000");
        assert_eq!(first_line(-30.25, 100, 0, false, 90), "-30.250000000");
        assert_eq!(first_line(0.0, 100, 0, false, 90), "+0.000000000");
    }

    #[test]
    fn a_drift_is_counted_from_the_start_of_the_process() {
        assert_eq!(first_line(0.0, 100, 500, true, 90), "-0.005000000 x1.000500");
        assert_eq!(first_line(2.0, 100, -100_000, true, 90), "+3.000000000 x0.900000");
    }

    #[test]
    fn after_a_drift_the_rate_is_taken_back_explicitly() {
        assert_eq!(first_line(1.5, 100, 0, true, 90), "+1.500000000 x1.000000");
    }

    #[test]
    fn the_longest_offset_fits() {
        let course = Course { offset: SignedSpan(i64::MIN), since: Instant::ZERO, ppm: i64::MAX };
        assert!(content(&course, true, Instant::ZERO).len() <= LENGTH);
    }

    #[test]
    fn a_longer_file_is_cut_and_stays_the_same_file() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(200)).unwrap();
        let before = std::fs::metadata(file.path()).unwrap().ino();
        let text = content(&Course::default(), false, Instant::ZERO);
        write(file.path(), &text).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
        assert_eq!(std::fs::metadata(file.path()).unwrap().ino(), before);
    }

    #[test]
    fn a_missing_file_is_an_error_and_not_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none");
        assert!(write(&path, "+0\n").is_err());
        assert!(!path.exists());
    }
}
