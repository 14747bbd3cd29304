"""Sealed payloads: AES-256-GCM with a key for one stream. Specification: ``docs/protocol.md``, "Sealed payloads".

A ``Sealer`` seals the payloads of one stream key, an ``Opener`` opens those of a keyring. A server seals its streams
with ``ecgframe.server.Sealing``, and a client opens them (``ecgframe.connect``). They need the extra ``seal``; nothing
is loaded before the first sealer or opener is made.

The nonce of a message never repeats: each ``Sealer`` draws a random sender, from which its own key is derived, and
counts its messages. It draws another sender when the counter ends and in the child of a fork, and can be neither copied
nor pickled. A process that is restored twice from one snapshot of its memory, such as that of a virtual machine,
repeats its nonces: call ``Sealer.renew`` after restoring it.
"""

from __future__ import annotations

from .key_files import keys_from_environment, keys_from_file, keys_to_json
from .keys import HookKeyring, Key, Keyring, StoredKeys
from .opener import Opened, Opener, check_stream
from .replay_window import NotOpened, ReplayWindow
from .sealer import Sealer

__all__ = [
    "HookKeyring",
    "Key",
    "Keyring",
    "NotOpened",
    "Opened",
    "Opener",
    "ReplayWindow",
    "Sealer",
    "StoredKeys",
    "check_stream",
    "keys_from_environment",
    "keys_from_file",
    "keys_to_json",
]
