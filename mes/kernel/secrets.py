"""Where the keys of the MES lie: a folder beside the database, never in it.

Signing keys, checkpoint keys and the key that seals secrets are files of mode 0600 there. The store
hands the folder to its sessions; the rooms that need a key ask here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from cellwright.mes.kernel.errors import MesError

SECRETS_KEY: Final = "cellwright_secrets"
"""Key of the folder in `Session.info`."""


def secrets_folder(session: Session) -> Path:
    """The folder; raises MesError ``no_keys`` for a store that was opened without one."""
    folder = session.info.get(SECRETS_KEY)
    if folder is None:
        raise MesError(
            "no_keys",
            "there is no folder for the keys of the MES; open it through a cell's file, or give "
            "`cellwright mes serve` its --secrets",
        )
    return Path(folder)
