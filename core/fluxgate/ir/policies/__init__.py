"""The classes of each type of policy, one module a type; see :mod:`fluxgate.ir.policy`."""
