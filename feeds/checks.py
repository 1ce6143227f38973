"""System checks over the feed rows that no single constraint can express."""
