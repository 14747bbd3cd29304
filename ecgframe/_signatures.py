"""Signatures for ``inspect.signature`` of classes for which it cannot find one: compiled classes and typed dicts.

Editors and notebooks use them for completion.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, is_typeddict


class DeclaredSignature:
    """``__signature__`` of a compiled class, taken from a function with the same parameters.

    A subclass with its own constructor has the signature of that constructor.
    """

    __slots__ = ("_constructor",)

    def __init__(self, constructor: Callable[..., None]) -> None:
        self._constructor = constructor

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        for cls in owner.__mro__:
            if "__signature__" in vars(cls):
                return inspect.signature(self._constructor)
            if "__init__" in vars(cls) or "__new__" in vars(cls):
                break
        raise AttributeError(f"{owner.__name__} has no __signature__")


class _FieldsSignature:
    """The ``__signature__`` of a ``TypedDict``: its fields as keyword arguments, and any others."""

    __slots__ = ()

    def __get__(self, instance: object, owner: Any) -> inspect.Signature:
        # A parameter cannot be named like a keyword; such a field is one of the others.
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=kind,
                default=inspect.Parameter.empty if name in owner.__required_keys__ else ...,
            )
            for name, kind in owner.__annotations__.items()
            if name != "from"
        ]
        return inspect.Signature([*parameters, inspect.Parameter("others", inspect.Parameter.VAR_KEYWORD)])


_FIELDS: Final = _FieldsSignature()


def describe_typed_dicts(namespace: Mapping[str, Any]) -> None:
    """Give each typed dict of a module its signature."""
    for value in namespace.values():
        if is_typeddict(value):
            setattr(value, "__signature__", _FIELDS)  # noqa: B010 - to mypy, a typed dict has no attributes
