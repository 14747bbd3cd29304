"""``RedisBackplane`` and ``RedisClusterBackplane``: join several servers through Redis. Needs the extra ``redis``.

``backplane_of`` makes the one for an address.
"""

from typing import TYPE_CHECKING

from .address import backplane_of
from .backplane import RedisBackplane
from .cluster import RedisClusterBackplane

if TYPE_CHECKING:
    from ..backplane import NumberedBackplane

    # A type checker compares each method of the two with the interface.
    _are_whole: tuple[type[NumberedBackplane], ...] = (RedisBackplane, RedisClusterBackplane)

__all__ = ["RedisBackplane", "RedisClusterBackplane", "backplane_of"]
