//! Servers of pods, nodes and external machines.
