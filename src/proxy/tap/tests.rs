//! What the tests of both protocols share.
