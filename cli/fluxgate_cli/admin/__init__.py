"""The admin API as a part of a process: where its settings come from, and what it is made of."""
