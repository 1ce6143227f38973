"""System checks over the rights rows that no single constraint can express."""
