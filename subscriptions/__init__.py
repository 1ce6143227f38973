"""Downstream: subscribers, their rights, and delivery to them."""
