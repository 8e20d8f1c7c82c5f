"""What every admin surface shares of HTTP."""
