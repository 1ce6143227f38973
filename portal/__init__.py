"""The portal: what operators see and do while the system runs."""
