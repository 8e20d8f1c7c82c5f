"""HTTP filters, one file each with the same three hooks, and the one table of their order."""
