//! A deterministic simulation that tries to break haechi-store-redis.
