//! `recipe:` of a role: what its program needs to run, where no image has it.

use crate::scenario::decode::{Placed, record};
use crate::scenario::scalar::Text;

record! {
    /// What the program needs, installed outside of the repository and kept for the next run: for the
    /// process backend beside a copy of its source, for docker in an image of Debian packages. The program
    /// is started in the copy. At least one of `npm`, `pip` and `packages`; not both of the first two.
    Recipe {
        /// A folder with `package.json` and `package-lock.json`, relative to this file. The packages are
        /// installed as `npm ci --ignore-scripts` does; their programs come first in PATH.
        optional npm: Text,
        /// A requirements file that pins each package by version and hash, relative to this file. A virtual
        /// environment of them comes first in PATH.
        optional pip: Text,
        /// Debian packages besides `nodejs` or `python3`. The process backend expects them on this machine.
        optional packages: Vec<Placed<Text>>,
        /// The folder that is copied, relative to this file. The folder of `npm`, that of the `pip` file,
        /// or this file's own, unless given. What begins with a dot, and `node_modules`, stays out.
        optional source: Text,
    }
}
