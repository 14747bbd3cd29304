"""``NatsBackplane``: joins several servers through NATS JetStream. Needs the extra ``nats``.

``backplane_of`` makes the one for an address.
"""

from typing import TYPE_CHECKING

from .address import backplane_of
from .backplane import NatsBackplane

if TYPE_CHECKING:
    from ..backplane import Backplane

    # A type checker compares each method with the interface.
    _is_whole: type[Backplane] = NatsBackplane

__all__ = ["NatsBackplane", "backplane_of"]
