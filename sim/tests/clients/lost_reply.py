"""Counts five orders with redis-py as it comes: it sends a command again whose connection broke."""
import os
import redis

client = redis.Redis(port=int(os.environ["PORT"]))
for _ in range(5):
    client.incr("orders")
print(f"redis-py {redis.__version__}: 5 orders, counted {client.get('orders').decode()}")
