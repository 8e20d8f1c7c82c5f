"""One module a command group: options in, a call or two, printed result."""
