"""Backups: everything the business needs, copied while it works on, verified, and put back."""
