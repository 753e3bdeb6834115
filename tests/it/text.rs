//! Words of a backend on their way into an error.
