"""The scenarios on kind, through pytest-kind: needs a container engine and the internet."""
