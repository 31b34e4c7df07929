//! The command people use.

fn main() {}
