"""Builds torch modules from graphs."""
