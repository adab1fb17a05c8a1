"""What an answer is worth: the protocol, and the judge who applies it to a cell."""
