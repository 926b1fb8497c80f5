"""That nothing falls silent: deadlines, the watchdog, its alarms, the daily digest."""
