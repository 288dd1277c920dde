"""Trials: long, seeded attacks on the package, each run by one command. Figures: docs/trials.md."""
