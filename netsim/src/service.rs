//! Services: cluster addresses rewritten to endpoints.
