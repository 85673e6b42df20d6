"""Migrates a codebase: finds legacy callback use, makes safe edits, and keeps the rest from growing."""
