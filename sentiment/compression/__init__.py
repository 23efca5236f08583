"""Smaller models out of trained ones."""
