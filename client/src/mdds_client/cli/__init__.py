"""The command line `mdds`."""
