"""Builds the delivered page: templates, style sheet and player."""
