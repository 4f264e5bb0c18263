"""Adapters for what is outside: one service, one module."""
