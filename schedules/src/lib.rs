//! When work happens: cron schedules, ticks
