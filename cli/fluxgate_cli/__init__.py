"""The ``fluxgate`` command: a thin composition of the other packages.

Data goes to standard output, everything else to standard error; exit codes are
in :mod:`fluxgate_cli.errors`. Modules read no environment at import.
"""
