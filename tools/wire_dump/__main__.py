"""`python -m wire_dump`."""

from wire_dump.cli import main

raise SystemExit(main())
