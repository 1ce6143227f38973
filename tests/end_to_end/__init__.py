"""The whole system as processes, judged by what a client receives."""
