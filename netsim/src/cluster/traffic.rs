//! Listeners, probes, flows and Services.
