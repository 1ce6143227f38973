"""The simulator: a fake KRX exchange on real UDP lines, which knows nothing of the system that listens to it."""
