"""The judge: what is asked, what is answered, and what the answer is worth."""
