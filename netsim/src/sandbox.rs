//! The private corner of the machine that a simulated cluster lives in.
