//! Tests of the guards.
