"""The KRX feed: streams, message tables, routers, the trading day."""
