"""What opens a tracking store is written nowhere."""

import pytest
from sqlalchemy.engine import make_url

from bench.credentials import without_credentials


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql+psycopg2://ada:s3cret@db.lab:5432/runs", "postgresql+psycopg2://db.lab:5432/runs"),
        ("mysql://ada:p%40ss/wo:rd@db/runs", "mysql://db/runs"),
        ("https://ada:p@ss@mlflow.lab/x", "https://mlflow.lab/x"),
        ("https://token@mlflow.lab", "https://mlflow.lab"),
        ("postgresql://db/runs?user=ada&password=s3cret&sslmode=on",
         "postgresql://db/runs?user=...&password=...&sslmode=on"),
        ("https://h/x?access_token=a&apikey=b&passphrase=c&X-Amz-Signature=d#token=e&part=1",
         "https://h/x?access_token=...&apikey=...&passphrase=...&X-Amz-Signature=...#token=...&part=1"),
        ("sqlite:////home/ada@lab/mlflow.db", "sqlite:////home/ada@lab/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("databricks://profile", "databricks://profile"),
        ("runs/quick --seeds 0-2 -m gnerf[a=b]", "runs/quick --seeds 0-2 -m gnerf[a=b]"),
        ("--track=http://ada:s3cret@host", "--track=http://host"),
    ],
)  # fmt: skip
def test_a_uri_is_shown_without_user_and_password(uri, shown):
    assert without_credentials(uri) == shown


def test_what_is_left_is_where_the_store_is_as_sqlalchemy_reads_it():
    whole = make_url("postgresql://ada:p/w:d@db.lab:5432/runs")
    left = make_url(without_credentials("postgresql://ada:p/w:d@db.lab:5432/runs"))
    assert (whole.username, whole.password) == ("ada", "p/w:d")
    assert (left.username, left.password) == (None, None)
    assert (left.host, left.port, left.database) == (whole.host, whole.port, whole.database)
