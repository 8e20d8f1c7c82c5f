"""OpenAPI documents as objects of the gateway: a Backend, Routes, and what they need to know who calls.

What cannot be said is reported, and never said weaker: an operation whose security has no equivalent becomes a
Route that is switched off.
"""
