"""Changes single values in the text of a restored cell's file; all else stays as it is.

The values name places of the former PC. Knows nothing of what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode

from cellwright.io.files.located_yaml import read
from cellwright.io.files.problems import Problems
from cellwright.runtime.backup.manifest import BackupError, Edit


def apply(file: Path, edits: Sequence[Edit]) -> None:
    """Write the values into the file; raises BackupError when one has no place of its own there."""
    for edit in edits:
        problems = Problems(str(file))
        if read(file, problems) is None or problems.errors:
            raise BackupError(f"the cell's file cannot be read: {problems.ordered()[0]}")
        text = file.read_bytes().decode()
        bom = "\ufeff" if text.startswith("\ufeff") else ""
        text = text.removeprefix(bom)
        node = _found(YAML(typ="safe", pure=True).compose(text), edit)
        start, end = node.start_mark.index, node.end_mark.index
        new = f"{bom}{text[:start]}{json.dumps(edit.value, ensure_ascii=False)}{text[end:]}"
        file.write_bytes(new.encode())
        problems = Problems(str(file))
        root = read(file, problems)
        value: Any = root.plain() if root is not None else {}
        for step in edit.key:
            value = value.get(step, {}) if isinstance(value, dict) else {}
        if problems.errors or value != edit.value:
            raise BackupError(_sentence(edit))


def _found(root: Any, edit: Edit) -> ScalarNode:
    node = root
    for step in edit.key:
        pairs = node.value if isinstance(node, MappingNode) else []
        node = next((value for key, value in pairs if key.value == step), None)
    if not isinstance(node, ScalarNode):
        raise BackupError(_sentence(edit))
    return node


def _sentence(edit: Edit) -> str:
    return (
        f"the cell's file cannot be changed at {'.'.join(edit.key)} ({edit.why}), because an alias "
        "stands there; give the value its own line in the cell's file and take the backup again"
    )
