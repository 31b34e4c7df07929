//! Probes from inside a place that only another process is in: a pod of a real cluster.
//!
//! There, `portcullis-probe` runs a [`session`]: it reads [`words`] from its standard input and
//! answers on its standard output, a line of JSON each. Whoever started it is told what its sockets
//! saw. Everything is asked at once and answered when it is known; numbers say which answer belongs to
//! which question. A session ends with its input, and nothing of it stays.

pub mod session;
pub mod words;
