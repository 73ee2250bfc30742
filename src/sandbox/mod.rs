//! The embedded sandbox portal.
