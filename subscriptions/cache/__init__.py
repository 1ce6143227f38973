"""The hot cache: the last image of every stream, kept outside the gateways."""
