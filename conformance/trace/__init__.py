"""What was seen on the wire, in the order in which it was seen: records, their file, and pictures of them."""
