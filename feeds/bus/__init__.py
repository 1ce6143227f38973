"""The message bus: RAW and PARSED, over RabbitMQ or in memory, behind one interface."""
