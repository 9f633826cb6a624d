"""``python -m reference FOLDER``, as ``make docs`` runs it."""

import sys

from reference.pages import main

sys.exit(main())
