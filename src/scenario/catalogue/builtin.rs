//! The entries that the program carries with it: every file of `catalog/`.

use super::super::diagnostic::Source;

macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        /// The names of all entries, in alphabetical order.
        pub const NAMES: &[&str] = &[$($name),*];

        const TEXTS: &[&str] = &[$(include_str!(concat!("../../../catalog/", $name, ".yaml"))),*];
    };
}

entries!["bullmq", "redis-heartbeat"];

/// The file of an entry that the program carries; `None` for another name.
#[must_use]
pub fn builtin(name: &str) -> Option<Source> {
    let index = NAMES.iter().position(|known| *known == name)?;
    Some(Source::new(format!("catalog/{name}.yaml"), TEXTS[index]))
}
