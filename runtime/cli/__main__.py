"""``python -m cellwright.runtime.cli``: the command line without its console script."""

from cellwright.runtime.cli.entry import main

main()
