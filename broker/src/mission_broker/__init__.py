"""RabbitMQ as Mission Control uses it: one port, a real adapter and an in-memory twin."""
