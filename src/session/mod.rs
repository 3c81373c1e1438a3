//! The program inside a job: it builds, runs or renders one item. It never decides what should run.
