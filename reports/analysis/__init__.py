"""What a suite's results say: scores and their statistics, tables, curves, sentences. No page is written here."""
