"""Where resources come from. A provider only parses and feeds the store."""
