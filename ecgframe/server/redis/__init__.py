"""``RedisBackplane`` and ``RedisClusterBackplane``: join several servers through Redis. Needs the extra ``redis``."""

from .backplane import RedisBackplane
from .cluster import RedisClusterBackplane

__all__ = ["RedisBackplane", "RedisClusterBackplane"]
