"""The portal's template filters."""
