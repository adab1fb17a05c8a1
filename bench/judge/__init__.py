"""What an answer is worth: protocol posefree/1, and the judge who applies it to a cell."""
