//! One attempt to reach somebody, and what became of it.
