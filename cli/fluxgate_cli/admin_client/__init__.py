"""The command line as a client of the admin API.

``contexts``     which API, as whom: a file, and variables that win over it
``credentials``  secrets by value, file or command; keys that sign, tokens
``transport``    requests, signed, repeated where that is safe
``api``          what commands ask: one answer, every page of a list
"""
