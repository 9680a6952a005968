"""The cases, a module for each chapter of the specification; `conformance.case.load` finds them."""
