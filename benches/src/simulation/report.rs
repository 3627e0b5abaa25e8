//! The simulation's report.
