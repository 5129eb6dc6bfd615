"""Traits shared with the browser whose errors name the setting, the value and the fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import traitlets


class SettingError(traitlets.TraitError, ValueError):
    """A value that a setting does not take.

    Both kinds, because traitlets takes a change back only for a TraitError, and because users
    of Python expect a ValueError.
    """


class Setting(traitlets.TraitType[Any, Any]):
    """Any value; what is right the widget says with `check`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tag(sync=True)

    def error(self, obj: Any, value: Any, error: Any = None, info: Any = None) -> NoReturn:
        raise SettingError(f"{self.name}={value!r}: expected {self.info()}")


class Choice(Setting, traitlets.Enum):  # type: ignore[type-arg]
    """One of a few words."""

    def info(self, as_rst: bool = False) -> str:
        """The words."""
        return "one of " + ", ".join(repr(value) for value in self.values or ())


class Flag(Setting, traitlets.Bool):  # type: ignore[type-arg]
    """True or False."""


class Whole(Setting, traitlets.Int):  # type: ignore[type-arg]
    """A whole number."""


class Text(Setting, traitlets.Unicode):  # type: ignore[type-arg]
    """A text."""


def check(name: str) -> Callable[[Callable[[Any, Any], Any]], Any]:
    """Declare a method `(self, value) -> value` as the check of a setting.

    Its ValueError or TypeError takes the change back, wherever the change came from.
    """

    def declare(method: Callable[[Any, Any], Any]) -> Any:
        def run(self: Any, proposal: Any) -> Any:
            try:
                return method(self, proposal["value"])
            except (ValueError, TypeError) as error:
                raise SettingError(str(error)) from None

        return traitlets.validate(name)(run)

    return declare
