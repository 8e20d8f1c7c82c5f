"""The public route catalogue: what it says, and Routes in a cluster made to say the same."""
