"""Real processes, real sockets, real disks, SIGKILL."""
