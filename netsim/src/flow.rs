//! Connections that stay open.
