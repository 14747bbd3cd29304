"""The backplane of several servers behind one address: ``RedisBackplane``. Needs the extra ``redis``."""

from .backplane import RedisBackplane

__all__ = ["RedisBackplane"]
