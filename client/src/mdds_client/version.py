"""The version of the package, in the one place from which the build, `mdds --version` and the handshake take it."""

__version__ = "0.1.0"
