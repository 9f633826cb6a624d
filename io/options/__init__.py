"""Options of whatever a user names in a configuration; see `options`."""

from cellwright.io.options.host import Host
from cellwright.io.options.options import Options, from_file, from_plan

__all__ = ["Host", "Options", "from_file", "from_plan"]
