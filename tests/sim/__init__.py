"""Whole clusters in one process, from one number: virtual time, a hostile network, disks that forget.

A seed decides everything, so a failure is replayed by its seed alone: ``tools/simulate.py --seed N --trace``.
"""
