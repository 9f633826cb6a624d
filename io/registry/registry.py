"""Finds the class behind an entry-point name: drivers, markers, cameras and programs.

The compiler calls it to check a configuration, workers and drivers call it to make their device.
Built-ins are found the same way as classes of other distributions: without being installed the
package cannot be imported. It never guesses a name.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

Group = Literal["drivers", "markers", "cameras", "programs"]


class RegistryError(Exception):
    """A name that leads to no class; the sentence says what to write or install instead."""


def names(group: Group) -> list[str]:
    """All names of a group, sorted."""
    return sorted(_targets(group))


def load(group: Group, name: str) -> type:
    """The class behind ``name`` in ``cellwright.<group>``.

    Raises RegistryError when nobody registered the name, when two distributions did with different
    classes, or when the class cannot be imported.
    """
    targets = _targets(group)
    target = targets.get(name)
    if target is None:
        # Needed only for a wrong name, and every scan and driver process loads this module.
        import difflib  # noqa: PLC0415

        close = difflib.get_close_matches(name, targets, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(sorted(targets))}"
        raise RegistryError(f"no {group[:-1]} is called '{name}'; {hint}")
    if len(target) > 1:
        raise RegistryError(
            f"'{name}' in cellwright.{group} is registered by several distributions "
            f"({', '.join(sorted(target))}); uninstall all but one"
        )
    return load_class(next(iter(target)))


def load_class(target: str) -> type:
    """The class that ``module:Class`` names; raises RegistryError."""
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise RegistryError(f"'{target}' names no class; write module:Class")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise RegistryError(
            f"cannot import {module} for '{target}': {error}; install the distribution that has it"
        ) from error
    if not isinstance(found, type):
        raise RegistryError(f"module {module} has no class {attribute}; check '{target}'")
    return found


def _targets(group: Group) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    point: EntryPoint
    for point in entry_points(group=f"cellwright.{group}"):
        found.setdefault(point.name, set()).add(point.value)
    return found
