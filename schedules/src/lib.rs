//! When work happens: cron schedules, ticks

pub mod cadence;
