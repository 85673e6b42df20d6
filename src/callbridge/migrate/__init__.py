"""Migrating a codebase: find legacy callback use, rewrite what is safe, hold the line on the rest."""
