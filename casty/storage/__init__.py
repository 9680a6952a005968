"""Where a server's memory is kept: files that survive a crash, and a memory disk that can crash on demand."""
