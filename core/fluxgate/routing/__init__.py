"""Which route a request takes: hosts, paths, precedence, and a reference matcher in Python.

Everything here is free of Envoy's types. The order of
:func:`fluxgate.routing.precedence.route_sort_key` is the one documented order;
:mod:`fluxgate.xds.route_table` renders it for Envoy, and
:mod:`fluxgate.routing.reference` says the same in a few lines of Python, to test
against and to explain from.
"""
