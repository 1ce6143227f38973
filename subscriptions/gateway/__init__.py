"""The gateway: PARSED records in, per-client WebSocket frames out."""
