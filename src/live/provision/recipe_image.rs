//! The image that a recipe's program runs in: its language's official one, or one of Debian packages.

use std::hash::{DefaultHasher, Hasher as _};

use super::image_build::{Finish, Plan};
use super::recipe::contained::PYTHON;
use crate::scenario::recipe::{Installer, Recipe};

/// What one image is made for: the Debian packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Base {
    /// The language's first; separated by commas.
    packages: String,
    language: Option<Language>,
    reference: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    Node,
    Python,
}

const CONFIG: &[&str] = &["LABEL syncope.image=recipe"];
/// What programs expect of any system: time zones (Celery asks for UTC by name), names of services.
const SYSTEM: &str = "tzdata,netbase";
/// Debian compiles the standard library when Python is set up, which is not done here; without it each
/// start would take a second longer.
const COMPILE: &str = "python3 -m compileall -q -x '/(test|lib2to3|idlelib)/' /usr/lib/python3*";

impl Base {
    pub(super) fn of(recipe: &Recipe) -> Self {
        let packages = recipe.debian_packages().join(",");
        let language = recipe.installer.as_ref().map(|installer| match installer {
            Installer::Npm { .. } => Language::Node,
            Installer::Pip { .. } => Language::Python,
        });
        let reference = match language {
            Some(Language::Node) if recipe.packages.is_empty() => "syncope/node:18".to_owned(),
            Some(Language::Python) if recipe.packages.is_empty() => format!("syncope/python:{PYTHON}"),
            _ => {
                let mut hasher = DefaultHasher::new();
                hasher.write(packages.as_bytes());
                format!("syncope/recipe:{:016x}", hasher.finish())
            }
        };
        Self { packages, language, reference }
    }

    /// Of the image that is built.
    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    /// What a registry has in its place; nothing, where packages were asked for. Debian's variants:
    /// libfaketime needs glibc.
    pub(super) fn official(&self) -> Option<&'static str> {
        if self.packages.contains(',') {
            return None;
        }
        match self.language? {
            Language::Node => Some("node:18-bookworm-slim"),
            Language::Python => Some("python:3.11-slim-bookworm"),
        }
    }

    /// Where Python is in that image.
    pub(super) fn python(&self, image: &str) -> &'static str {
        if self.official() == Some(image) { "/usr/local/bin/python3" } else { "/usr/bin/python3" }
    }

    pub(super) fn packages(&self) -> &str {
        &self.packages
    }

    /// How it is built; `unfinished` is its name until its last step.
    pub(super) fn plan<'a>(&'a self, unfinished: &'a str) -> Plan<'a> {
        let has_python = self.packages.split(',').any(|package| package == "python3");
        Plan {
            name: "recipe",
            packages: format!("{},{SYSTEM}", self.packages),
            directories: &[],
            reference: &self.reference,
            config: CONFIG,
            finish: has_python.then(|| Finish { base: unfinished, script: COMPILE.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Place;

    fn base(installer: Option<Installer>, packages: &[&str]) -> Base {
        let packages = packages.iter().map(|&package| package.to_owned()).collect();
        Base::of(&Recipe { source: ".".into(), installer, packages, place: Place::default() })
    }

    #[test]
    fn packages_make_an_image_of_their_own() {
        let npm = || Some(Installer::Npm { folder: ".".into() });
        let plain = base(npm(), &[]);
        assert_eq!((plain.reference(), plain.official()), ("syncope/node:18", Some("node:18-bookworm-slim")));
        let with = base(npm(), &["ffmpeg"]);
        assert_eq!((with.packages(), with.official()), ("nodejs,ffmpeg", None));
        assert!(with.reference().starts_with("syncope/recipe:"));
        assert_ne!(with.reference(), base(npm(), &["libpq5"]).reference());
        assert_eq!(base(None, &["ruby"]).official(), None);
    }
}
