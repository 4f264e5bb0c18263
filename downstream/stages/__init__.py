"""The five commands cron runs, one module each."""
