"""``RedisBackplane``: joins several servers through Redis. Needs the extra ``redis``."""

from .backplane import RedisBackplane

__all__ = ["RedisBackplane"]
