"""Benchmarks of the running gateway; ``make bench`` runs them all and writes ``bench/results.md``."""
